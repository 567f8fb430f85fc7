#include "engine/monitor/process_tree.hpp"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <csignal>

#include "engine/base/descendants.hpp"

namespace coracle::monitor {

ino_t pid_namespace_of(const std::string& pid) {
  struct stat st {};
  return ::stat(("/proc/" + pid + "/ns/pid").c_str(), &st) == 0 ? st.st_ino : 0;
}

Result<> signal_all(const Pidfd& init, int signal, const std::string& fuse_program) {
  const ino_t theirs = pid_namespace_of(std::to_string(init.pid()));
  const bool own = theirs != 0 && theirs != pid_namespace_of("self");
  if (own && signal == SIGKILL) return init.send_signal(signal);
  for (const pid_t pid : descendants(::getpid(), fuse_program)) {
    if (own && pid_namespace_of(std::to_string(pid)) != theirs) continue;
    // Between the walk and here it can be reaped by nobody but us or its parent inside.
    if (const auto process = Pidfd::open(pid)) (void)process->send_signal(signal);
  }
  return {};
}

void kill_rest(const std::string& fuse_program, int limit_ms, const std::function<void()>& reap) {
  constexpr int kStepMs = 2;
  for (int waited = 0; waited < limit_ms; waited += kStepMs) {
    const auto left = descendants(::getpid(), fuse_program);
    if (left.empty()) return;
    for (const pid_t pid : left) {
      if (const auto process = Pidfd::open(pid)) (void)process->send_signal(SIGKILL);
    }
    reap();
    const timespec step{0, kStepMs * 1000000L};
    ::nanosleep(&step, nullptr);
  }
}

}  // namespace coracle::monitor
