// What the process that sets up a container's tells its parent, over the report socket: a
// base/ipc/channel message with this text. The socket is closed before the program is looked up; what
// happens from then on is told by runtime/exec_watch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/result.hpp"

namespace coracle::runtime {

// What the child ends with when it never became the program.
constexpr int kExitBeforeExec = 125;

struct Report {
  std::string event;  // ready (descriptors: see launch, join), error
  std::string code;   // error: name_of(Errc)
  std::int32_t sys = 0;
  std::string message;
};
void describe(auto& field, Report& r) {
  field("event", r.event)("code", r.code)("sys", r.sys)("message", r.message);
}

// The child's end. A parent that is gone is no concern of the child's: its go pipe tells.
Result<> report_ready(const UniqueFd& socket, const std::vector<int>& fds);
[[noreturn]] void report_error_and_exit(const UniqueFd& socket, const Error& error);

// The parent's end: the descriptors that came with "ready".
//   errors  what the child reported; internal when it ended without a word
Result<std::vector<UniqueFd>> await_ready(const UniqueFd& socket);

}  // namespace coracle::runtime
