#include "engine/monitor/session.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <variant>

#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"

namespace coracle::monitor {
namespace {

// A full disk: exit.json is tried again for this long, unless an engine has taken the event.
constexpr std::chrono::milliseconds kRecordAgain{1000};
constexpr int kRecordTries = 60;

const char* name_of_status(Container::Status status) {
  switch (status) {
    case Container::Status::none: return "";
    case Container::Status::created: return "created";
    case Container::Status::running: return "running";
    case Container::Status::stopped: return "stopped";
  }
  return "";
}

}  // namespace

Session::Session(Loop& loop)
    : loop_(loop),
      connections_(loop, {[this](Connections::Id from, Request r, std::vector<UniqueFd> fds) {
                            request(from, std::move(r), std::move(fds));
                          },
                          [this] { nobody_left(); }}),
      container_(loop, {[this](const Ended& what) { ended(what); },
                        [this](const char* event, const std::string& exec_id) {
                          Answer answer;
                          answer.event = event;
                          answer.exec_id = exec_id;
                          connections_.broadcast(answer);
                        },
                        [this] { loop_.stop(); }}) {}

Result<> Session::run(UniqueFd control) {
  CHECK(set_up_signals());
  CHECK(connections_.adopt(std::move(control)));
  loop_.on_quiet([this] { container_.trim(); });
  return loop_.run();
}

// A service manager that ends the daemon signals its whole group: containers are not to end by
// that, only by being asked to.
Result<> Session::set_up_signals() {
  for (const int ignored : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGTTIN, SIGTTOU, SIGTSTP})
    ::signal(ignored, SIG_IGN);
  sigset_t children;
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &children, nullptr);
  signals_.reset(::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return sys_error("make a signal descriptor");
  // Orphans of execs, and the file system's program, are ours to reap.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) return sys_error("become a subreaper");
  TRY(signals_watch_, loop_.watch(signals_, EPOLLIN, [this](std::uint32_t) {
    std::array<char, sizeof(signalfd_siginfo) * 4> seen{};
    while (read_some(signals_, seen)) continue;
    container_.reap();
  }));
  return {};
}

// --- requests ---

void Session::request(Connections::Id from, Request request, std::vector<UniqueFd> fds) {
  if (const auto* ack = std::get_if<op::Ack>(&request.what)) return acknowledge(ack->n);
  Answer answer;
  answer.re = request.seq;
  if (std::holds_alternative<op::Hello>(request.what)) return say_hello(from, answer);
  const bool creates = std::holds_alternative<op::Create>(request.what);
  const bool undoes = std::holds_alternative<op::StopMonitor>(request.what);
  const auto done = carry_out(request.what, fds, answer);
  if (!done) answer.error = message::to_wire(done.error());
  connections_.send(from, answer);
  // A create that failed, or was taken back, leaves nothing to wait for.
  if ((creates && !done && container_.status() != Container::Status::running) || (undoes && done))
    end();
}

Result<> Session::carry_out(Request::What& what, std::vector<UniqueFd>& fds, Answer& answer) {
  const auto elsewhere = [](const auto& op) -> Result<> {
    return fail(Errc::internal, "monitor: {} is not carried out here", op.kOp);
  };
  return std::visit(
      message::Each{
          [&](op::Create& op) { return create(std::move(op.create), std::move(fds), answer); },
          [&](op::Start&) { return container_.start(); },
          [&](op::Attach& op) -> Result<> {
            if (fds.size() != 1)
              return fail(Errc::invalid_argument, "attach: the request lacks its descriptor");
            return container_.attach(std::move(op.attach), std::move(fds.front()));
          },
          [&](op::Exec& op) -> Result<> {
            if (op.exec.exec_id.empty())
              return fail(Errc::invalid_argument, "exec: the request lacks its exec");
            TRY(answer.pid, container_.exec(std::move(op.exec), std::move(fds)));
            return {};
          },
          [&](op::Signal& op) { return container_.signal(op.exec_id, op.signal, op.all); },
          [&](op::Resize& op) { return container_.resize(op.exec_id, op.size); },
          [&](op::CloseStdin& op) { return container_.close_stdin(op.exec_id); },
          [&](op::Pause&) { return container_.pause(); },
          [&](op::Unpause&) { return container_.unpause(); },
          [&](op::StopMonitor&) { return container_.undo(); },
          [&](op::Hello& op) { return elsewhere(op); },
          [&](op::Ack& op) { return elsewhere(op); },
          [&](message::Unknown& op) -> Result<> {
            return fail(Errc::unsupported, "monitor: {} is not known to protocol version {}", op.op,
                        kProtocolVersion);
          },
      },
      what);
}

Result<> Session::create(Create create, std::vector<UniqueFd> fds, Answer& answer) {
  if (create.run_dir.empty())
    return fail(Errc::invalid_argument, "create: the request lacks its create");
  if (container_.status() != Container::Status::none)
    return fail(Errc::conflict, "create: this monitor has a container already");
  CHECK(make_dirs(create.run_dir));
  CHECK(connections_.listen(join_path(create.run_dir, kSocketName)));
  const auto created = container_.create(std::move(create), std::move(fds));
  if (!created) {
    (void)container_.undo();
    return created;
  }
  answer.pid = container_.pid();
  return {};
}

void Session::say_hello(Connections::Id to, Answer& answer) {
  answer.status = container_.paused() ? "paused" : name_of_status(container_.status());
  answer.pid = container_.pid();
  answer.code = exit_code_;
  answer.execs = container_.execs();
  connections_.send(to, answer);
  for (const auto& [n, waiting] : unacknowledged_) connections_.send(to, waiting.event);
}

// --- ends ---

void Session::ended(const Ended& what) {
  Answer event;
  event.event = "exit";
  event.n = ++last_event_;
  event.exec_id = what.exec_id;
  event.code = what.code;
  event.time = what.time;
  event.oom_killed = what.oom_killed;
  const std::uint64_t n = event.n;
  if (what.exec_id.empty()) {
    exit_code_ = what.code;
    record(what);
  }
  auto& waiting = unacknowledged_[n];
  waiting.event = event;
  waiting.patience = loop_.after(std::chrono::milliseconds(kAckWait_ms), [this, n] { settle(n); });
  connections_.broadcast(event);
  if (connections_.empty()) settle(n);
}

void Session::record(const Ended& what) {
  const ExitRecord exit{what.code, what.time, what.oom_killed, what.error};
  const auto& asked = container_.asked();
  auto written = fail_point("monitor.exit.record");
  if (written)
    written = write_file_atomic(join_path(asked.state_dir, kExitName), json::to_text(exit), 0600,
                                asked.sync_exit ? Durability::synced : Durability::unsynced);
  recorded_ = written.has_value();
  if (recorded_ || ++record_tries_ > kRecordTries) {
    recorded_ = true;
    if (record_tries_ > 0) settle_overdue();
    return;
  }
  std::fprintf(stderr, "exit status not written yet id=%s code=%d reason=%s\n", asked.id.c_str(),
               what.code, written.error().message.c_str());
  record_again_ = loop_.after(kRecordAgain, [this, what] {
    if (!recorded_) record(what);
  });
}

void Session::acknowledge(std::uint64_t n) {
  if (!unacknowledged_.contains(n)) return;
  // An engine that says so has saved it itself.
  if (unacknowledged_.at(n).event.exec_id.empty()) recorded_ = true;
  settle(n);
}

// The event was taken, or nobody takes it in time.
void Session::settle(std::uint64_t n) {
  const auto found = unacknowledged_.find(n);
  if (found == unacknowledged_.end()) return;
  const std::string exec_id = found->second.event.exec_id;
  // The file is the only one left who could tell: it is waited for.
  if (exec_id.empty() && !recorded_) return;
  unacknowledged_.erase(found);
  if (exec_id.empty()) return end();
  container_.end_exec(exec_id);
}

void Session::settle_overdue() {
  std::vector<std::uint64_t> overdue;
  for (const auto& [n, waiting] : unacknowledged_) {
    if (!waiting.patience.pending() || connections_.empty()) overdue.push_back(n);
  }
  for (const auto n : overdue) settle(n);
}

void Session::nobody_left() {
  if (container_.status() == Container::Status::none) return end();
  settle_overdue();
}

void Session::end() {
  if (ending_) return;
  ending_ = true;
  unacknowledged_.clear();
  // Deferred: the answer to the request that brought us here is sent first.
  loop_.defer([this] {
    container_.end();
    connections_.close();
  });
}

}  // namespace coracle::monitor
