// The container that this monitor is the parent of: its first process, its execs, their streams and
// the log. Knows nothing of who asks (session does).
//
//   (nothing) ──create──▶ created ──start──▶ running ──its process ends──▶ stopped ──end()──▶ gone
//                            └── undo() ─────────────────────────────────────────────────────▶ gone
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/epoll_loop.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"
#include "engine/monitor/freezer.hpp"
#include "engine/monitor/guard.hpp"
#include "engine/monitor/oom.hpp"
#include "engine/monitor/process_tree.hpp"
#include "engine/monitor/protocol.hpp"
#include "engine/monitor/streams/log_writer.hpp"
#include "engine/monitor/streams/scratch.hpp"
#include "engine/monitor/streams/stdio.hpp"
#include "engine/runtime/launch.hpp"

namespace coracle::monitor {

// The end of a process, with its output taken and in the log.
struct Ended {
  std::string exec_id;  // "": the container's own
  std::int32_t code = 0;
  Time time;
  bool oom_killed = false;
  std::string error;  // why it could not be started
};

class Container {
 public:
  enum class Status { none, created, running, stopped };
  struct Handlers {
    std::function<void(Ended)> ended;
    std::function<void(const char* event, const std::string& exec_id)> event;
    std::function<void()> streams_gone;  // after end(): the last client has gone
  };
  Container(Loop& loop, Handlers handlers)
      : loop_(loop), handlers_(std::move(handlers)), guard_(loop) {}
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;

  // Makes everything up to execve, and writes monitor.json. On an error nothing is left behind.
  Result<> create(Create create, std::vector<UniqueFd> fds);
  // Lets it execve. After an error Handlers::ended follows.
  Result<> start();
  // Ends a created container that was never started.
  //   errors  conflict: it was
  Result<> undo();

  // Answers the pid once execve succeeded.
  Result<pid_t> exec(Exec exec, std::vector<UniqueFd> fds);
  Result<> attach(Attach what, UniqueFd socket);
  Result<> signal(const std::string& exec_id, int signal, bool all);
  //   errors  conflict: it does not run, or is (not) paused; internal: a process does not stop
  Result<> pause();
  Result<> unpause();
  Result<> resize(const std::string& exec_id, ConsoleSize size);
  Result<> close_stdin(const std::string& exec_id);

  // Collects children that have ended. Called when SIGCHLD came.
  void reap();
  // Shuts the streams of an ended exec down, and forgets it.
  void end_exec(const std::string& exec_id);
  // Shuts all streams down, then lets the container's mounts go.
  void end();

  // Gives memory back that is not needed until something happens.
  void trim();
  [[nodiscard]] Status status() const { return status_; }
  [[nodiscard]] bool paused() const { return paused_; }
  [[nodiscard]] pid_t pid() const { return launched_ ? launched_->init().pid() : 0; }
  [[nodiscard]] std::vector<ExecView> execs() const;
  [[nodiscard]] const Create& asked() const { return asked_; }

 private:
  struct ExecInstance {
    Pidfd process;
    std::unique_ptr<Stdio> stdio;
    bool running = true;
    std::int32_t code = 0;
    Time ended;
    std::string note;
  };

  Result<> take_descriptors(const oci::Spec& spec, std::vector<UniqueFd>& fds, UniqueFd& netns);
  Result<> make_process(const oci::Spec& spec, const UniqueFd& netns);
  Result<> write_identity(pid_t init) const;
  [[nodiscard]] Result<oci::Spec> read_spec() const;
  [[nodiscard]] Stdio::Options stdio_options(const std::string& exec_id);
  Result<ExecInstance> make_exec(const Exec& exec, UniqueFd socket);
  void process_ended(int code, std::string error);
  void exec_ended(const std::string& exec_id, int code);
  void check_gone();
  [[nodiscard]] Result<Stdio*> stdio_of(const std::string& exec_id);

  Loop& loop_;
  Handlers handlers_;
  Create asked_;
  Status status_ = Status::none;
  UniqueFd lifeline_;
  Scratch scratch_;
  LogWriter log_;
  std::unique_ptr<Stdio> stdio_;
  std::optional<runtime::Launched> launched_;
  OomWatch oom_;
  ProcessTree tree_;
  Freezer freezer_;
  Guard guard_;
  bool paused_ = false;
  std::map<std::string, ExecInstance> execs_;
  std::deque<ExecView> ended_execs_;             // the newest last
  std::vector<std::unique_ptr<Stdio>> closing_;  // of ended execs, until their clients have gone
  bool ending_ = false;
};

}  // namespace coracle::monitor
