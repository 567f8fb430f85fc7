// Exec instances.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/face/container_config.hpp"

namespace coracle {

struct ExecRequest {
  bool attach_stdin = false, attach_stdout = false, attach_stderr = false, tty = false,
       privileged = false;
  std::string detach_keys, user, working_dir;
  std::vector<std::string> env;
  StringList cmd;
  std::vector<std::uint32_t> console_size;
};
void describe(auto& field, ExecRequest& e) {
  field("AttachStdin", e.attach_stdin)("AttachStdout", e.attach_stdout)(
      "AttachStderr", e.attach_stderr)("Tty", e.tty)("Privileged", e.privileged)(
      "DetachKeys", e.detach_keys)("User", e.user)("WorkingDir", e.working_dir)("Env", e.env)(
      "Cmd", e.cmd)("ConsoleSize", e.console_size);
}
// What a start says by itself: the client frames or not as it asked here, whatever it made.
struct ExecStart {
  bool tty = false;
  std::vector<std::uint32_t> console_size;  // {}: that of the request
};
struct ExecView {
  std::string id, container_id;
  bool running = false;
  std::optional<std::int32_t> exit_code;
  std::int32_t pid = 0;
  ExecRequest request;
};

}  // namespace coracle
