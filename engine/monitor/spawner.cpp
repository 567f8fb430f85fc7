#include "engine/monitor/spawner.hpp"

#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"
#include "engine/monitor/protocol.hpp"

namespace coracle::monitor {
namespace {

// 0 in the copy. It is the engine's child as we are, and ends with our own signal: clone(2),
// CLONE_PARENT.
Result<pid_t> copy_ourselves() {
  clone_args args{};
  args.flags = CLONE_PARENT;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return sys_error("copy the container's monitor");
  return static_cast<pid_t>(pid);
}

}  // namespace

Result<std::optional<UniqueFd>> serve_copies(UniqueFd requests) {
  for (;;) {
    auto message = receive_message(requests);
    if (!message && message.error().code == Errc::not_found) return std::nullopt;
    if (!message) return std::unexpected(message.error().within("read the engine's requests"));
    if (message->fds.size() != 1) return fail(Errc::invalid_argument, "a request has one socket");
    const auto pid = copy_ourselves();
    if (pid && *pid == 0) return std::move(message->fds.front());
    Answer born;
    born.event = "born";
    if (pid) {
      born.pid = *pid;
    } else {
      born.error = message::to_wire(pid.error());
    }
    // An engine that has gone meanwhile: the copy sees it by itself.
    (void)send_message(message->fds.front(), json::to_text(born), {});
  }
}

}  // namespace coracle::monitor
