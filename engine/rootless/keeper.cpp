// coracled's side: find this exec root's keeper or start one, then enter its namespaces. The
// messages are in protocol.hpp.
//
//   lock keeper.lock
//   keeper.json names a living process?   yes: enter       no: clear away what is left, then
//   start coracle-keeper; at "unshared" have newuidmap and newgidmap write the maps; at "ready"
//   enter enter: namespaces and lifeline from keeper.sock, setns(2) twice
// When a helper refuses, a map may be half written, and a map is written once: that keeper is
// dropped, and another one started with one id.
#include "engine/rootless/keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstring>

#include "engine/base/channel.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/base/process.hpp"
#include "engine/rootless/hints.hpp"
#include "engine/rootless/idmap.hpp"
#include "engine/rootless/protocol.hpp"

namespace coracle::rootless {
namespace {

constexpr int kAnswer_ms = 10'000;
constexpr int kLockTries = 1500;  // of 20 ms
constexpr int kLockPause_ms = 20;
constexpr int kControlFd = 3;
constexpr std::size_t kEnterFds = 3;  // user, mount, lifeline; since version 2 the guests' listener

// Runs newuidmap or newgidmap; what it says on stderr is the error.
Result<> run_helper(const std::string& program, pid_t pid, const IdMap& map) {
  TRY(auto words, make_pipe());
  SpawnOptions options;
  options.program = program;
  options.argv = helper_arguments(pid, map);
  options.argv.insert(options.argv.begin(), program);
  options.fds = {{words.write.get(), STDERR_FILENO}};
  auto process = spawn(options);
  words.write.reset();
  if (!process) {
    if (process.error().sys != ENOENT) return std::unexpected(process.error());
    return fail(Errc::not_found,
                "{} is not installed; an administrator can install the package uidmap (Debian) or "
                "shadow-utils (Fedora)",
                program);
  }
  TRY(auto said, read_all(words.read, std::size_t{64} << 10));
  TRY(const auto status, process->wait());
  if (status.code == 0) return {};
  while (said.ends_with('\n')) said.pop_back();
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
    return fail(Errc::forbidden,
                "{} refused: {}; this process may not gain privileges (no_new_privs): start "
                "coracled without NoNewPrivileges=",
                program, said);
  }
  return fail(Errc::forbidden,
              "{} refused: {}; it must be set-uid root or have its file capability, and the range "
              "must be this user's",
              program, said);
}

Result<> write_map(const std::string& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return sys_error("open {}", path);
  if (auto written = write_all(fd, text); !written)
    return std::unexpected(written.error().within("{}", path));
  return {};
}

// The kernel lets anyone map the own id, if setgroups(2) is given up first. See user_namespaces(7).
Result<> write_one_id(pid_t pid, const Caller& who) {
  CHECK(write_map(fmt::format("/proc/{}/setgroups", pid), "deny"));
  CHECK(write_map(fmt::format("/proc/{}/uid_map", pid), fmt::format("0 {} 1\n", who.uid)));
  return write_map(fmt::format("/proc/{}/gid_map", pid), fmt::format("0 {} 1\n", who.gid));
}

Result<> write_maps(pid_t pid, const Caller& who, const MapPlan& plan) {
  if (plan.one_id) return write_one_id(pid, who);
  CHECK(run_helper("newuidmap", pid, plan.users));
  return run_helper("newgidmap", pid, plan.groups);
}

Result<Message> receive_within(const UniqueFd& socket, int limit_ms) {
  pollfd p{socket.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&p, 1, limit_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return fail(Errc::unavailable, "no answer within {} s", limit_ms / 1000);
  return receive_message(socket);
}

// The keeper's next word; `stage` or the error that it met.
Result<> expect(const UniqueFd& control, const std::string& stage) {
  const auto message = receive_within(control, kAnswer_ms);
  if (!message && message.error().code == Errc::not_found)
    return fail(Errc::internal, "it ended unexpectedly; keeper.log in the exec root may say why");
  if (!message) return std::unexpected(message.error());
  TRY(const auto progress, json::from_text<Progress>(message->text));
  if (const auto& e = progress.error; e) {
    for (const char* step : {step::kUser, step::kMount, step::kPropagation, step::kNetwork}) {
      if (e->step == step) return std::unexpected(explain_refusal(step, e->sys, read_knobs()));
    }
    return std::unexpected(Error{errc_from_errno(e->sys), e->sys, e->message});
  }
  if (progress.stage != stage)
    return fail(Errc::internal, "it said '{}' where '{}' was due", progress.stage, stage);
  return {};
}

struct Start {
  Pidfd process;
  UniqueFd control;
};

Result<Start> spawn_keeper(const std::string& exec_root) {
  TRY(const auto program, find_helper(kKeeperProgram));
  TRY(auto pair, make_socket_pair(SOCK_SEQPACKET));
  // Not our own stdin, stdout, stderr: whoever waits for their end would wait for the keeper.
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return sys_error("open /dev/null");
  const auto log_path = join_path(exec_root, "keeper.log");
  const UniqueFd log(::open(
      log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log) return sys_error("open {}", log_path);
  SpawnOptions options;
  options.program = program;
  options.argv = {kKeeperProgram, "--exec-root", exec_root, "--control-fd",
                  std::to_string(kControlFd)};
  options.new_session = true;
  options.fds = {{null.get(), STDIN_FILENO},
                 {log.get(), STDOUT_FILENO},
                 {log.get(), STDERR_FILENO},
                 {pair.b.get(), kControlFd}};
  TRY(auto process, spawn(options));
  return Start{std::move(process), std::move(pair.a)};
}

// Drops a keeper whose start went wrong. Without its control socket it ends by itself, too.
void drop(Start start) {
  start.control.reset();
  (void)start.process.send_signal(SIGKILL);
  (void)start.process.wait();
}

// A keeper that is published, or the error.
struct Attempt {
  Result<Start> start;
  bool maps_refused = false;  // the error is a helper's
};

Attempt try_start(const std::string& exec_root, const Caller& who, const MapPlan& plan) {
  auto start = spawn_keeper(exec_root);
  if (!start) return {std::move(start), false};
  const auto give_up = [&start](Error error, bool maps_refused) -> Attempt {
    drop(*std::move(start));
    return {std::unexpected(std::move(error)), maps_refused};
  };
  if (auto r = expect(start->control, "unshared"); !r) return give_up(r.error(), false);
  if (auto r = write_maps(start->process.pid(), who, plan); !r) return give_up(r.error(), true);
  if (auto r =
          send_message(start->control, json::to_text(MapsWritten{plan.one_id, plan.warnings}), {});
      !r)
    return give_up(r.error(), false);
  if (auto r = expect(start->control, "ready"); !r) return give_up(r.error(), false);
  return {std::move(start), false};
}

// Returns the control socket; while it is open the keeper waits for us.
Result<UniqueFd> start_keeper(const std::string& exec_root) {
  const auto in = ask_host();
  const auto& who = in.who;
  const auto plan = plan_maps(in);
  auto attempt = try_start(exec_root, who, plan);
  if (!attempt.start && attempt.maps_refused && !plan.one_id) {
    attempt = try_start(exec_root, who, plan_one_id(who, attempt.start.error().message));
  }
  if (!attempt.start) return std::unexpected(attempt.start.error().within("start the keeper"));
  return std::move(attempt.start->control);
}

// What is left of a keeper that was killed: its netstack, which holds the socket that the next one
// needs. keeper.sock is left to listen_unix, which does not take it from a process that answers.
void clear_away(const std::string& exec_root) {
  const auto path = join_path(exec_root, kNetstackRecordName);
  if (const auto text = read_file(path, 4096); text) {
    if (const auto who = json::from_text<ProcessIdentity>(*text); who) {
      if (const auto process = Pidfd::open(*who); process && process->send_signal(SIGKILL)) {
        pollfd p{process->fd().get(), POLLIN, 0};
        ::poll(&p, 1, kAnswer_ms);  // not our child: it is not waited for
      }
    }
  }
  ::unlink(path.c_str());
  ::unlink(join_path(exec_root, kRecordName).c_str());
}

// The living keeper's number, or 0.
pid_t find_keeper(const std::string& exec_root) {
  const auto text = read_file(join_path(exec_root, kRecordName), 4096);
  if (!text) return 0;
  const auto record = json::from_text<KeeperRecord>(*text);
  if (!record) return 0;
  const auto process = Pidfd::open(record->identity);
  return process && !process->ended() ? process->pid() : 0;
}

Result<UniqueFd> lock_exec_root(const std::string& exec_root) {
  const auto path = join_path(exec_root, kLockName);
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return sys_error("open {}", path);
  for (int i = 0; i < kLockTries; ++i) {
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
    if (errno != EWOULDBLOCK && errno != EINTR) return sys_error("lock {}", path);
    ::poll(nullptr, 0, kLockPause_ms);
  }
  return fail(Errc::unavailable, "lock {}: another coracled has been starting here for {} s", path,
              kLockTries * kLockPause_ms / 1000);
}

Result<> check_exec_root(const std::string& exec_root) {
  CHECK(make_dirs(exec_root, 0700));
  struct stat st {};
  if (::stat(exec_root.c_str(), &st) != 0) return sys_error("look at {}", exec_root);
  if (st.st_uid != ::geteuid()) {
    return fail(
        Errc::forbidden,
        "{} belongs to uid {}; choose another with --exec-root, or set XDG_RUNTIME_DIR to a "
        "directory of your own",
        exec_root, st.st_uid);
  }
  if (::access(exec_root.c_str(), W_OK | X_OK) != 0) return sys_error("write in {}", exec_root);
  return {};
}

Result<> join_namespaces(const Message& reply) {
  std::array<char, PATH_MAX> old{};
  const bool had_directory = ::getcwd(old.data(), old.size()) != nullptr;
  // The user namespace first: it gives the right to enter the other.
  if (::setns(reply.fds[0].get(), CLONE_NEWUSER) != 0) {
    return sys_error("enter the keeper's user namespace{}",
                     errno == EINVAL ? " (this process has threads already, or is inside it)" : "");
  }
  if (::setns(reply.fds[1].get(), CLONE_NEWNS) != 0)
    return sys_error("enter the keeper's mount namespace");
  // It puts us into "/". A directory that is gone is no loss.
  if (had_directory) (void)!::chdir(old.data());
  return {};
}

Result<Entered> enter(const std::string& exec_root) {
  TRY(const auto socket, connect_unix(join_path(exec_root, kSocketName), SOCK_SEQPACKET));
  CHECK(send_message(socket, json::to_text(EnterRequest{"enter", kKeeperVersion}), {}));
  TRY(auto message, receive_within(socket, kAnswer_ms));
  TRY(auto reply, json::from_text<EnterReply>(message.text));
  if (!reply.error.empty()) return fail(Errc::unavailable, "{}", reply.error);
  if (reply.version > kKeeperVersion) {
    return fail(Errc::unsupported,
                "it was started by a newer coracle (protocol {}, this one knows {}); use that one",
                reply.version, kKeeperVersion);
  }
  if (message.fds.size() != kEnterFds + (reply.version >= 2 ? 1 : 0))
    return fail(Errc::internal, "it sent {} descriptors", message.fds.size());
  CHECK(join_namespaces(message));
  Entered out{reply.one_id, std::move(reply.warnings), std::move(message.fds[2]), UniqueFd{}};
  if (reply.version >= 2) out.guest_listener = std::move(message.fds[3]);
  return out;
}

Result<std::string> absolute(const std::string& path) {
  if (path.starts_with('/')) return clean_path(path);
  std::array<char, PATH_MAX> here{};
  if (::getcwd(here.data(), here.size()) == nullptr) return sys_error("find the working directory");
  return clean_path(join_path(here.data(), path));
}

}  // namespace

Result<Entered> enter_keeper(const std::string& exec_root) {
  TRY(const auto root, absolute(exec_root));
  CHECK(check_exec_root(root));
  TRY(const auto lock, lock_exec_root(root));
  UniqueFd control;
  pid_t found = find_keeper(root);
  if (found == 0) {
    clear_away(root);
    TRY(control, start_keeper(root));
  }
  auto entered = enter(root);
  if (!entered && found != 0) {
    return std::unexpected(entered.error().within(
        "enter the keeper of {} (process {}; if it is stuck, end it with kill -9 {})", root, found,
        found));
  }
  if (!entered) return std::unexpected(entered.error().within("enter the keeper of {}", root));
  return entered;
}

}  // namespace coracle::rootless
