// The containers' face: who is meant by a name, and what its life and its view answer. What changes
// a container runs in the engine's own scope (Context::owned).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/context.hpp"
#include "engine/face/containers.hpp"
#include "engine/lifecycle/lifecycle.hpp"

namespace coracle {

class Containers final : public face::Containers {
 public:
  Containers(Context& context, Lifecycle& life) : context_(context), life_(life) {}

  Task<Created> create(CreateRequest request) override;
  [[nodiscard]] Result<> list(const ListOptions& options,
                              const ContainerVisitor& visit) const override;
  [[nodiscard]] Result<ContainerView> inspect(const std::string& name) const override;
  Task<> start(std::string name) override;
  Task<> stop(std::string name, StopOptions options) override;
  Task<> restart(std::string name, StopOptions options) override;
  Task<> kill(std::string name, std::string signal) override;
  Task<> pause(std::string name) override;
  Task<> unpause(std::string name) override;
  Task<std::vector<std::string>> update(std::string name, ContainerUpdate update) override;
  Task<> rename(std::string name, std::string to) override;
  Task<> remove(std::string name, bool force, bool volumes) override;
  Task<> remove_link(std::string name) override;
  Result<std::unique_ptr<Waiter>> wait(const std::string& name, WaitCondition condition) override;

 private:
  Context& context_;
  Lifecycle& life_;
};

}  // namespace coracle
