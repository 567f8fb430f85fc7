#include "engine/monitor/container.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include <malloc.h>

#include "engine/base/c_text.hpp"
#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/runtime/join.hpp"
#include "engine/spec/exit_code.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::monitor {
namespace {

// How long the streams of a process that has ended are waited for. Pipes come to their end with the
// pid namespace; a pty's last output arrives a moment after its writer's end.
constexpr std::chrono::milliseconds kContainerDrain{300};
constexpr std::chrono::milliseconds kTerminalDrain{100};
constexpr std::chrono::milliseconds kKillRest{2000};

// Where the keeper listens: run_dir is EXEC-ROOT/containers/ID (docs/formats.md), and without a
// lifeline there is no keeper.
std::string keeper_socket(const std::string& run_dir) {
  return join_path(parent_path(parent_path(run_dir)), "keeper.sock");
}

}  // namespace

// --- create, start ---

Result<> Container::create(Create create, std::vector<UniqueFd> fds) {
  if (status_ != Status::none) return fail(Errc::conflict, "create: there is a container already");
  asked_ = std::move(create);
  CHECK(fail_point("monitor.create"));
  UniqueFd netns;
  CHECK(make_dirs(asked_.run_dir));
  TRY(scratch_, Scratch::make());
  TRY(log_, LogWriter::open(asked_.log));
  TRY(const auto spec, read_spec());
  CHECK(take_descriptors(spec, fds, netns));
  CHECK(make_process(spec, netns));
  status_ = Status::created;
  return stdio_->start();
}

// In the order that protocol.hpp tells.
Result<> Container::take_descriptors(const oci::Spec& spec, std::vector<UniqueFd>& fds,
                                     UniqueFd& netns) {
  const std::size_t wanted = (asked_.netns ? 1U : 0U) + (asked_.lifeline ? 1U : 0U);
  if (fds.size() != wanted + asked_.attach.size())
    return fail(Errc::invalid_argument, "create: {} descriptors came, {} were announced",
                fds.size(), wanted + asked_.attach.size());
  auto next = fds.begin();
  if (asked_.netns) netns = std::move(*next++);
  if (asked_.lifeline) lifeline_ = std::move(*next++);

  auto options = stdio_options("");
  options.terminal = spec.process.terminal;
  options.open_stdin = asked_.open_stdin;
  options.stdin_once = asked_.stdin_once;
  options.log = &log_;
  stdio_ = std::make_unique<Stdio>(loop_, std::move(options));
  if (!spec.process.terminal) CHECK(stdio_->open_pipes());
  for (auto& attach : asked_.attach) CHECK(stdio_->attach(std::move(*next++), std::move(attach)));
  asked_.attach = {};
  return {};
}

Result<> Container::make_process(const oci::Spec& spec, const UniqueFd& netns) {
  const bool own_pids =
      std::any_of(spec.linux.namespaces.begin(), spec.linux.namespaces.end(),
                  [](const auto& n) { return n.type == "pid" && n.path.empty(); });
  runtime::LaunchRequest request;
  request.spec = &spec;
  request.bundle = asked_.bundle;
  request.root = asked_.root;
  request.netns = netns.get();
  if (!spec.process.terminal) request.stdio = stdio_->theirs();
  request.docker_files = true;
  request.init_program = asked_.init_program;
  request.seccomp_cache = asked_.seccomp_cache;
  request.joined = asked_.joined;
  request.meanwhile = [&](const Pidfd& init) -> Result<> {
    oom_ = OomWatch(init.pid());
    freezer_ = Freezer(init);
    TRY(tree_, ProcessTree::of(init, own_pids, asked_.root.fuse_program));
    if (asked_.lifeline) guard_.begin(keeper_socket(asked_.run_dir), init, tree_.namespaces());
    return write_identity(init.pid());
  };
  TRY(launched_, runtime::launch(request));
  stdio_->close_theirs();
  if (!spec.process.terminal) return {};
  if (asked_.console.height != 0 || asked_.console.width != 0) {
    CHECK(stdio_->resize(asked_.console));
  } else if (spec.process.console_size) {
    CHECK(stdio_->resize({spec.process.console_size->height, spec.process.console_size->width}));
  }
  return stdio_->take_console(std::move(launched_->console()));
}

Result<oci::Spec> Container::read_spec() const {
  const std::string path = join_path(asked_.bundle, "config.json");
  TRY(const auto text, read_file(path));
  auto checked = require_no_nul(text);
  auto spec = checked ? json::from_text<oci::Spec>(text) : std::unexpected(checked.error());
  if (!spec) return std::unexpected(spec.error().within("read {}", path));
  return spec;
}

Result<> Container::write_identity(pid_t init) const {
  Identity identity;
  TRY(identity.monitor, identify(::getpid()));
  TRY(identity.init, identify(init));
  return write_file_atomic(join_path(asked_.run_dir, kIdentityName), json::to_text(identity), 0600,
                           Durability::unsynced);
}

Result<> Container::start() {
  if (status_ == Status::running) return fail(Errc::conflict, "start: it runs already");
  if (status_ != Status::created)
    return fail(Errc::conflict, "start: there is no created container");
  CHECK(fail_point("monitor.start"));
  const auto started = launched_->start();
  if (started) {
    status_ = Status::running;
    return {};
  }
  // It has ended, or will at once; what it says of itself is not its exit status.
  (void)launched_->init().send_signal(SIGKILL);
  (void)launched_->init().wait();
  status_ = Status::stopped;
  loop_.defer([this, error = started.error()] {
    process_ended(exit_code_of_failed_start(error), error.message);
  });
  return started;
}

Result<> Container::undo() {
  if (status_ == Status::running || status_ == Status::stopped)
    return fail(Errc::conflict, "the container was started already: end it with a signal");
  if (launched_) {
    (void)launched_->init().send_signal(SIGKILL);
    (void)launched_->init().wait();
  }
  status_ = Status::stopped;
  return {};
}

// --- execs ---

Result<pid_t> Container::exec(Exec exec, std::vector<UniqueFd> fds) {
  if (status_ != Status::running) return fail(Errc::conflict, "exec: the container is not running");
  if (paused_) return fail(Errc::conflict, "exec: the container is paused");
  const bool ended = std::any_of(ended_execs_.begin(), ended_execs_.end(),
                                 [&](const auto& e) { return e.exec_id == exec.exec_id; });
  if (execs_.contains(exec.exec_id) || ended)
    return fail(Errc::conflict, "exec command {} has already run", exec.exec_id);
  if (fds.size() != (exec.attached ? 1U : 0U))
    return fail(Errc::invalid_argument, "exec: {} descriptors came", fds.size());
  TRY(auto instance, make_exec(exec, exec.attached ? std::move(fds.front()) : UniqueFd()));
  const pid_t pid = instance.process.pid();
  execs_.emplace(exec.exec_id, std::move(instance));
  return pid;
}

Result<Container::ExecInstance> Container::make_exec(const Exec& exec, UniqueFd socket) {
  oci::Process process = exec.process;
  process.terminal = exec.tty;
  auto options = stdio_options(exec.exec_id);
  options.terminal = exec.tty;
  options.open_stdin = exec.attached && exec.attach.in;
  options.stdin_once = true;
  ExecInstance instance;
  instance.note = exec.note;
  instance.stdio = std::make_unique<Stdio>(loop_, std::move(options));
  Stdio& stdio = *instance.stdio;
  if (!exec.tty) CHECK(stdio.open_pipes());
  // The engine keeps its copy until it has our answer: on an error the client's stream is its own.
  if (exec.attached) CHECK(stdio.attach(std::move(socket), exec.attach));

  runtime::JoinRequest request;
  request.init = &launched_->init();
  request.process = &process;
  request.filter = launched_->filter();
  if (!exec.tty) request.stdio = stdio.theirs();
  TRY(auto joined, runtime::join(request));
  instance.process = std::move(joined.process);
  stdio.close_theirs();
  if (exec.tty) {
    if (exec.console.height != 0 || exec.console.width != 0) CHECK(stdio.resize(exec.console));
    CHECK(stdio.take_console(std::move(joined.console)));
  }
  CHECK(stdio.start());
  return instance;
}

Stdio::Options Container::stdio_options(const std::string& exec_id) {
  Stdio::Options options;
  options.scratch = scratch_.bytes();
  options.detached = [this, exec_id] { handlers_.event("detached", exec_id); };
  options.client_closed = [this, exec_id] { handlers_.event("attach_closed", exec_id); };
  options.all_gone = [this] { check_gone(); };
  return options;
}

std::vector<ExecView> Container::execs() const {
  std::vector<ExecView> views;
  const auto oldest = now().ns - kExecKeep_ms * 1'000'000;
  for (const auto& exec : ended_execs_) {
    if (exec.ended.ns >= oldest) views.push_back(exec);
  }
  for (const auto& [id, exec] : execs_)
    views.push_back({id, exec.process.pid(), exec.running, exec.code, exec.ended, exec.note});
  return views;
}

// --- what is asked of a process that runs ---

Result<Stdio*> Container::stdio_of(const std::string& exec_id) {
  if (exec_id.empty()) {
    if (!stdio_ || status_ == Status::stopped)
      return fail(Errc::conflict, "the container is not running");
    return stdio_.get();
  }
  const auto found = execs_.find(exec_id);
  if (found == execs_.end()) return fail(Errc::not_found, "No such exec instance: {}", exec_id);
  if (!found->second.running) return fail(Errc::conflict, "exec {} has ended", exec_id);
  return found->second.stdio.get();
}

Result<> Container::attach(Attach what, UniqueFd socket) {
  TRY(auto* stdio, stdio_of(what.exec_id));
  return stdio->attach(std::move(socket), std::move(what));
}

Result<> Container::resize(const std::string& exec_id, ConsoleSize size) {
  TRY(auto* stdio, stdio_of(exec_id));
  return stdio->resize(size);
}

Result<> Container::close_stdin(const std::string& exec_id) {
  TRY(auto* stdio, stdio_of(exec_id));
  stdio->close_stdin();
  return {};
}

Result<> Container::signal(const std::string& exec_id, int signal, bool all) {
  CHECK(stdio_of(exec_id));
  if (!launched_) return fail(Errc::conflict, "the container is not running");
  if (paused_ && signal == SIGCONT && !freezer_.by_cgroup()) {
    freezer_.continued(all ? 0 : exec_id.empty() ? pid() : execs_.at(exec_id).process.pid());
    return {};
  }
  if (!exec_id.empty()) return execs_.at(exec_id).process.send_signal(signal);
  if (all) return tree_.signal_all(launched_->init(), signal);
  return launched_->init().send_signal(signal);
}

Result<> Container::pause() {
  if (status_ != Status::running) return fail(Errc::conflict, "the container is not running");
  if (paused_) return fail(Errc::conflict, "the container is already paused");
  CHECK(freezer_.freeze(tree_, {log_.helper()}));
  paused_ = true;
  return {};
}

Result<> Container::unpause() {
  if (!paused_) return fail(Errc::conflict, "the container is not paused");
  CHECK(freezer_.thaw(tree_, {log_.helper()}));
  paused_ = false;
  return {};
}

// --- ends ---

void Container::reap() {
  for (;;) {
    int word = 0;
    const pid_t pid = ::waitpid(-1, &word, WNOHANG);
    if (pid <= 0) return;
    const int code = exit_status_from_wait(word).code;
    if (pid == this->pid()) {
      if (status_ == Status::created || status_ == Status::running) process_ended(code, "");
      continue;
    }
    for (const auto& [id, exec] : execs_) {
      if (exec.process.pid() != pid || !exec.running) continue;
      exec_ended(id, code);
      break;
    }
    // Else an orphan that came to us, or a helper.
    (void)log_.child_ended(pid, code);
  }
}

void Container::process_ended(int code, std::string error) {
  const Time time = now();
  status_ = Status::stopped;
  paused_ = false;
  if (auto rest = tree_.kill_rest(kKillRest, [this] { reap(); }); !rest)
    std::fprintf(stderr, "container has ended, but not all of it id=%s reason=%s\n",
                 asked_.id.c_str(), rest.error().message.c_str());
  stdio_->drain(kContainerDrain);
  log_.finish();
  handlers_.ended(Ended{"", code, time, oom_.killed(), std::move(error)});
}

void Container::exec_ended(const std::string& exec_id, int code) {
  const Time time = now();
  ExecInstance& exec = execs_.at(exec_id);
  exec.running = false;
  exec.code = code;
  exec.ended = time;
  exec.stdio->drain(exec.stdio->terminal() ? kTerminalDrain : std::chrono::milliseconds(0));
  handlers_.ended(Ended{exec_id, code, time, false, ""});
}

void Container::end_exec(const std::string& exec_id) {
  const auto found = execs_.find(exec_id);
  if (found == execs_.end()) return;
  auto& exec = found->second;
  ended_execs_.push_back({exec_id, exec.process.pid(), false, exec.code, exec.ended, exec.note});
  if (ended_execs_.size() > kExecKeep) ended_execs_.pop_front();
  closing_.push_back(std::move(exec.stdio));
  execs_.erase(found);
  closing_.back()->shut_down();
}

void Container::end() {
  if (ending_) return;
  ending_ = true;
  for (auto& [id, exec] : execs_) exec.stdio->shut_down();
  if (stdio_) stdio_->shut_down();
  guard_.end();
  // The clients have what there is; only now the mounts are taken down, which may take the kernel
  // tens of milliseconds.
  launched_.reset();
  loop_.defer([this] { check_gone(); });
}

void Container::check_gone() {
  std::erase_if(closing_, [](const auto& stdio) { return !stdio->has_clients(); });
  if (!ending_ || !closing_.empty()) return;
  const bool clients = (stdio_ && stdio_->has_clients()) ||
                       std::any_of(execs_.begin(), execs_.end(),
                                   [](const auto& e) { return e.second.stdio->has_clients(); });
  if (!clients) handlers_.streams_gone();
}

void Container::trim() {
  log_.trim();
  scratch_.release();
  ::malloc_trim(0);
}

}  // namespace coracle::monitor
