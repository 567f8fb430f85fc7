// The helpers newuidmap and newgidmap, the keeper's process, and what both say when they refuse.
#include "engine/rootless/start_keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/base/process/process.hpp"
#include "engine/rootless/hints.hpp"
#include "engine/rootless/idmap.hpp"
#include "engine/rootless/protocol.hpp"

namespace coracle::rootless {
namespace {

constexpr int kControlFd = 3;

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

Result<Start> spawn_keeper(const std::string& exec_root, bool adopt) {
  TRY(const auto program, find_helper(kKeeperProgram));
  TRY(auto pair, make_socket_pair(SOCK_SEQPACKET));
  // Not our own stdin, stdout, stderr: whoever waits for their end would wait for the keeper.
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return sys_error("open /dev/null");
  const auto log_path = join_path(exec_root, "keeper.log");
  // What one that was killed had to say stays, for who wants to know why.
  const UniqueFd log(
      ::open(log_path.c_str(),
             O_WRONLY | O_CREAT | (adopt ? 0 : O_TRUNC) | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log) return sys_error("open {}", log_path);
  SpawnOptions options;
  options.program = program;
  options.argv = {
      kKeeperProgram, "--exec-root",          exec_root, "--control-fd", std::to_string(kControlFd),
      "--namespaces", adopt ? "adopt" : "new"};
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
  auto start = spawn_keeper(exec_root, false);
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

}  // namespace

Result<Message> receive_within(const UniqueFd& socket, int limit_ms) {
  pollfd p{socket.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&p, 1, limit_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return fail(Errc::unavailable, "no answer within {} s", limit_ms / 1000);
  return receive_message(socket);
}

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

Result<UniqueFd> start_adopting_keeper(const std::string& exec_root, const Heritage& heritage) {
  auto start = spawn_keeper(exec_root, true);
  if (!start) return std::unexpected(start.error().within("start another keeper"));
  std::vector<int> fds{heritage.lifeline.get()};
  if (heritage.guest_listener) fds.push_back(heritage.guest_listener.get());
  auto done = send_message(start->control,
                           json::to_text(MapsWritten{heritage.one_id, heritage.warnings}), fds);
  if (done) done = expect(start->control, "ready");
  if (!done) {
    drop(*std::move(start));
    return std::unexpected(done.error().within("start another keeper"));
  }
  return std::move(start->control);
}

}  // namespace coracle::rootless
