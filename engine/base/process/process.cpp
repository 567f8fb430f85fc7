#include "engine/base/process/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstring>

#include "engine/base/file.hpp"
#include "engine/base/path.hpp"

namespace coracle {
namespace {

constexpr int kSignalBase = 128;

class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

class Attributes {
 public:
  explicit Attributes(bool new_session) {
    ::posix_spawnattr_init(&attributes_);
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    sigset_t all;
    ::sigfillset(&all);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (new_session) flags |= POSIX_SPAWN_SETSID;
    ::posix_spawnattr_setflags(&attributes_, static_cast<short>(flags));
  }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }
  posix_spawnattr_t* get() { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

// Asked once: it is another only after this program has ended.
const Result<std::string>& boot_id() {
  static const Result<std::string> known = [] {
    auto text = read_file("/proc/sys/kernel/random/boot_id", 128);
    while (text && text->ends_with('\n')) text->pop_back();
    return text;
  }();
  return known;
}

}  // namespace

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  // They take char*, and do not write.
  for (const auto& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

ExitStatus exit_status_from_wait(int status) {
  if (WIFSIGNALED(status)) return ExitStatus{kSignalBase + WTERMSIG(status)};
  return ExitStatus{WEXITSTATUS(status)};
}

ExitStatus exit_status_from_siginfo(int child_code, int child_status) {
  return ExitStatus{child_code == CLD_EXITED ? child_status : kSignalBase + child_status};
}

Result<ProcessIdentity> identify(pid_t pid) {
  auto stat = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  if (!stat) return std::unexpected(stat.error().within("identify process {}", pid));
  TRY(const auto boot, boot_id());
  // The name may hold spaces and parentheses: fields are counted behind the last one. See proc(5).
  std::string_view rest = *stat;
  rest.remove_prefix(std::min(rest.size(), rest.rfind(')') + 2));
  constexpr int kFieldsBeforeStart = 19;  // state is field 3, starttime field 22
  for (int i = 0; i < kFieldsBeforeStart; ++i) {
    const auto space = rest.find(' ');
    if (space == std::string_view::npos)
      return fail(Errc::internal, "identify process {}: short stat", pid);
    rest.remove_prefix(space + 1);
  }
  ProcessIdentity who{pid, 0, boot};
  std::from_chars(rest.data(), rest.data() + rest.size(), who.start_ticks);
  return who;
}

Result<Pidfd> Pidfd::open(pid_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0);
  if (fd < 0) return sys_error("open process {}", pid);
  return Pidfd(UniqueFd(static_cast<int>(fd)), pid);
}

Result<Pidfd> Pidfd::open(const ProcessIdentity& who) {
  if (who.pid <= 0) return fail(Errc::not_found, "no process was recorded");
  TRY(auto pidfd, Pidfd::open(who.pid));
  // Asked after the descriptor is held: from here on the pid cannot be given to another.
  TRY(const auto now, identify(who.pid));
  if (now != who)
    return fail(Errc::not_found, "process {} has ended; its number is in use by another", who.pid);
  return pidfd;
}

Result<> Pidfd::send_signal(int signal) const {
  if (::syscall(SYS_pidfd_send_signal, fd_.get(), signal, nullptr, 0) != 0) {
    return sys_error("send signal {} to process {}", signal, pid_);
  }
  return {};
}

Result<ExitStatus> Pidfd::wait() const {
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(fd_.get()), &info, WEXITED) != 0) {
    if (errno != EINTR) return sys_error("wait for process {}", pid_);
  }
  return exit_status_from_siginfo(info.si_code, info.si_status);
}

bool Pidfd::ended() const {
  pollfd p{fd_.get(), POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

Result<Pidfd> spawn(const SpawnOptions& options) {
  FileActions actions;
  // dup2 of a descriptor onto itself keeps close-on-exec, except here: POSIX has posix_spawn clear
  // it. Sources are moved above every target first, so that no mapping overwrites another's source.
  int above = 3;
  for (const auto& m : options.fds) above = std::max(above, m.theirs + 1);
  std::vector<UniqueFd> moved;
  for (const auto& m : options.fds) {
    const int copy = ::fcntl(m.ours, F_DUPFD_CLOEXEC, above);
    if (copy < 0) return sys_error("start {}: duplicate descriptor {}", options.program, m.ours);
    moved.emplace_back(copy);
    ::posix_spawn_file_actions_adddup2(actions.get(), copy, m.theirs);
  }
  Attributes attributes(options.new_session);
  auto argv = pointers(options.argv);
  auto env = pointers(options.env);
  pid_t pid = 0;
  const int reason = ::posix_spawnp(&pid, options.program.c_str(), actions.get(), attributes.get(),
                                    argv.data(), options.inherit_env ? environ : env.data());
  if (reason != 0) return sys_error_of(reason, "start {}", options.program);
  return Pidfd::open(pid);
}

void ignore_sigpipe() { ::signal(SIGPIPE, SIG_IGN); }

Result<std::string> executable_dir() {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t n = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (n < 0) return sys_error("find our own executable");
  return parent_path(std::string(buffer.data(), static_cast<std::size_t>(n)));
}

Result<std::string> find_helper(const std::string& name) {
  TRY(const auto dir, executable_dir());
  for (const auto& candidate :
       {join_path(dir, name), join_path(dir, "../libexec/coracle/" + name)}) {
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return fail(Errc::not_found,
              "{} is neither beside {} nor in ../libexec/coracle: the installation is incomplete",
              name, dir);
}

}  // namespace coracle
