// Exec instances: one, "exec-ls", is there from the beginning, and each one echoes.
#pragma once

#include <string>

#include "engine/face/execs.hpp"
#include "tests/unit/shim/fake/containers.hpp"

namespace coracle::test {

class FakeExecs final : public face::Execs {
 public:
  FakeExecs(Workers& workers, const FakeContainers& containers)
      : workers_(workers), containers_(containers) {}

  std::string last;  // "exec exec-ls"
  ExecStart how;     // of the last one that was started attached

  Task<std::string> create(std::string container, ExecRequest request) override;
  [[nodiscard]] Result<ExecView> check_start(const std::string& id) const override;
  Task<> start_attached(std::string id, ExecStart how, UniqueFd client,
                        std::string leftover) override;
  Task<> start_detached(std::string id) override;
  Task<> resize(std::string id, std::uint16_t height, std::uint16_t width) override;
  [[nodiscard]] Result<ExecView> inspect(const std::string& id) const override;

 private:
  Workers& workers_;
  const FakeContainers& containers_;
};

}  // namespace coracle::test
