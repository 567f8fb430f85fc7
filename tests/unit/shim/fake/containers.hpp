// Containers that a test has put in.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/face/containers.hpp"
#include "tests/unit/shim/fake/happenings.hpp"

namespace coracle::test {

class FakeContainers final : public face::Containers {
 public:
  explicit FakeContainers(Happenings& happenings) : happenings_(happenings) {}

  std::map<std::string, ContainerView> all;  // by name
  std::optional<Error> start_error;
  CreateRequest created;
  ContainerUpdate updated;
  std::string last;  // "stop web 5 INT"
  std::atomic<bool> waiter_armed{false};

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
  Task<> asked(std::string text);
  Happenings& happenings_;
};

}  // namespace coracle::test
