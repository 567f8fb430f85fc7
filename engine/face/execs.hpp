// Exec instances: made for a container, run once, and kept for a while after their end. One that
// was started is started to the end when its client has gone.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/face/exec.hpp"

namespace coracle::face {

class Execs {
 public:
  virtual ~Execs() = default;

  // The instance's id.
  virtual Task<std::string> create(std::string container, ExecRequest request) = 0;
  // Before "101".
  //   errors  not_found "No such exec instance: X"; conflict: "… has already run", or its container
  //           does not run
  [[nodiscard]] virtual Result<ExecView> check_start(const std::string& id) const = 0;
  // Runs it with the client's connection; a failing start is told in the stream and by the exit
  // code.
  virtual Task<> start_attached(std::string id, ExecStart how, UniqueFd client,
                                std::string leftover) = 0;
  virtual Task<> start_detached(std::string id) = 0;
  virtual Task<> resize(std::string id, std::uint16_t height, std::uint16_t width) = 0;
  [[nodiscard]] virtual Result<ExecView> inspect(const std::string& id) const = 0;
};

}  // namespace coracle::face
