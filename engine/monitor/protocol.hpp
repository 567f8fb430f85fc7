// Messages between the engine and coracle-monitor, over base/ipc/channel (SOCK_SEQPACKET, JSON +
// descriptors).
//
// The engine starts `coracle-monitor --control-fd N` (N: one end of a socket pair) in a session of
// its own and sends `create`. The monitor also listens on <run_dir>/monitor.sock (0600), where a
// later engine connects; any number of connections may be open, all are equal, all get the events.
//
//   engine                                  monitor
//   {op:hello, seq, version}            ->
//                                       <-  {re:seq, version, status, ...}          MonitorView
//   {op:create, seq, create:{…}} +fds   ->  makes namespaces, mounts, everything up to execve
//                                       <-  {re:seq, pid} or {re:seq, error}
//   {op:start, seq}                     ->  lets it execve
//                                       <-  {re:seq} or {re:seq, error} (then `exit` follows, and
//                                       the monitor ends)
//   {op:attach, seq, attach:{…}} +fd    ->  from here on that descriptor is the monitor's
//   {op:exec, seq, exec:{…}} (+fd)      ->
//                                       <-  {re:seq, pid} or {re:seq, error}: replied once execve
//                                       succeeded
//   {op:signal|resize|close_stdin, …}   ->
//   {op:pause|unpause, seq}             ->
//                                       <-  {re:seq} once every process stands still (goes on),
//                                       or {re:seq, error}, and all go on
//   {op:stop_monitor, seq}              ->  only before start: undo create and end
//                                       <-  {event:exit, n, exec_id?, code, time}
//   {op:ack, n}                         ->  the engine has saved it: only now attached streams are
//                                           closed
//                                       <-  {event:detached, exec_id?} (detach keys)
//                                       <-  {event:attach_closed}
//
// Exit: the monitor writes <state_dir>/exit.json atomically (ExitRecord) before it sends the event,
// waits for the ack of one connection (at most kAckWait_ms; none connected: not at all), then shuts
// the attached streams down. After the exit of the container's process: it kills and reaps what is
// left, sends exit, waits for the ack, and ends; monitor.sock is removed.
//
// Paused: by the cgroup's freezer where the container has a cgroup that we may write, else by
// SIGSTOP to every process (monitor/freezer). `hello` says `paused`; exec is a conflict; of the
// signals only SIGKILL takes effect at once, the others at unpause. The end of a paused container
// is an ordinary exit.
//
// Execs that have ended are told in `hello` for kExecKeep_ms, the last kExecKeep of them: clients
// ask for the exit code after the stream's end, and the engine may have been replaced meanwhile.
//
// Attached streams: the descriptor is the client's own connection (after "101 UPGRADED"), so a
// stream outlives the engine. Container without tty: frames of Docker's 8-byte header; tty or
// `raw`: bytes as they are. What the client sends is stdin; its half-close is EOF (when stdin_once,
// or for an exec). A slow client holds back the container's output, as a pipe would, with at most
// 64 KiB buffered for it; never the log (written first), a signal, or a removal. Where others are
// attached too, it has kStalled_ms to take what waits for it, or is let go: it sees its stream end.
// Detach keys are recognised in tty sessions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/base/ipc/message.hpp"
#include "engine/base/process/process.hpp"
#include "engine/runtime/mounts/root_mount.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::monitor {

constexpr int kProtocolVersion = 1;
constexpr int kAckWait_ms = 2000;
constexpr int kStalled_ms = 1000;
constexpr std::size_t kExecKeep = 200;
constexpr std::int64_t kExecKeep_ms = std::int64_t{10} * 60 * 1000;
constexpr const char* kSocketName = "monitor.sock";  // in run_dir
constexpr const char* kIdentityName =
    "monitor.json";  // in run_dir: Identity, written before the reply to create
constexpr const char* kExitName = "exit.json";  // in state_dir: ExitRecord

// <run_dir>/monitor.json
struct Identity {
  std::int32_t version = kProtocolVersion;
  ProcessIdentity monitor;
  ProcessIdentity init;  // the container's first process, as this host's pid namespace counts it
};
void describe(auto& field, Identity& i) {
  field("version", i.version)("monitor", i.monitor)("init", i.init);
}

// <state_dir>/exit.json. The container's end as its parent saw it.
struct ExitRecord {
  std::int32_t code = 0;  // 0..255, or 128 + signal
  Time finished_at;
  bool oom_killed = false;
  std::string error;  // text when it could not be started, else empty
};
void describe(auto& field, ExitRecord& e) {
  field("code", e.code)("finished_at", e.finished_at)("oom_killed", e.oom_killed)("error", e.error);
}

struct LogOptions {
  std::string driver = "json-file";  // json-file, local, journald, none
  std::string path;           // absolute; made with mode 0640. journald: the journal's socket
  std::int64_t max_size = 0;  // bytes, 0: no rotation
  std::int32_t max_file = 1;
  bool compress = false;           // rotated files, by gzip
  std::vector<std::string> attrs;  // "k=v" pairs, kept for `details`. journald: fields of each
                                   // entry, with those that name the container
};
void describe(auto& field, LogOptions& l) {
  field("driver", l.driver)("path", l.path)("max_size", l.max_size)("max_file", l.max_file)(
      "compress", l.compress)("attrs", l.attrs);
}

struct ConsoleSize {
  std::uint16_t height = 0;  // 0: unknown
  std::uint16_t width = 0;
};
void describe(auto& field, ConsoleSize& c) { field("height", c.height)("width", c.width); }

using runtime::RootMount;

struct Attach {
  std::string exec_id;  // "" = the container's own process
  bool in = false, out = false, err = false;
  bool raw = false;                       // no frame headers even without a tty
  bool framed = false;                    // frame headers even with one; goes before raw
  std::vector<std::uint8_t> detach_keys;  // bytes of the key sequence; empty: none
  std::string leftover_base64;            // stdin bytes that arrived behind the HTTP request's head
};
void describe(auto& field, Attach& a) {
  field("exec_id", a.exec_id)("in", a.in)("out", a.out)("err", a.err)("raw", a.raw)(
      "framed", a.framed)("detach_keys", a.detach_keys)("leftover_base64", a.leftover_base64);
}

// Descriptors of a create message, in this order: [netns if netns] [lifeline if lifeline] [one for
// each of `attach`, in order]. The lifeline is kept open, unused, until the monitor ends
// (rootless/keeper).
struct Create {
  std::string id;
  std::string bundle;     // directory of config.json (OCI runtime-spec 1.2)
  std::string run_dir;    // on tmpfs: monitor.sock, monitor.json
  std::string state_dir;  // on disk: exit.json
  LogOptions log;
  RootMount root;
  ConsoleSize console;
  bool open_stdin = false;  // keep a pipe at stdin; else /dev/null
  bool stdin_once = false;  // close it when the first attached client that had it goes
  bool sync_exit = true;    // exit.json survives a power cut (false for --rm)
  bool netns = false;
  bool lifeline = false;
  std::string
      init_program;  // --init: path of coracle-init on this host; bound over /sbin/docker-init
  std::string seccomp_cache;  // directory for compiled filters by digest; "": compile each time
  // First processes of the containers whose namespaces config.json names by /proc/PID.
  std::vector<ProcessIdentity> joined;
  std::vector<Attach> attach;
};
void describe(auto& field, Create& c) {
  field("id", c.id)("bundle", c.bundle)("run_dir", c.run_dir)("state_dir", c.state_dir)(
      "log", c.log)("root", c.root)("console", c.console)("open_stdin", c.open_stdin)(
      "stdin_once", c.stdin_once)("sync_exit", c.sync_exit)("netns", c.netns)(
      "lifeline", c.lifeline)("init_program", c.init_program)("seccomp_cache", c.seccomp_cache)(
      "joined", c.joined)("attach", c.attach);
}

// One descriptor follows when `attached`: the client's connection.
struct Exec {
  std::string exec_id;
  // The user by ids (the engine has resolved names) or by name in user.username, which the monitor
  // resolves in the container's /etc/passwd.
  oci::Process process;
  bool tty = false;
  ConsoleSize console;
  bool attached = false;
  Attach attach;
  std::string note;  // the engine's own, for a later engine: ExecView has it
};
void describe(auto& field, Exec& e) {
  field("exec_id", e.exec_id)("process", e.process)("tty", e.tty)("console", e.console)(
      "attached", e.attached)("attach", e.attach)("note", e.note);
}

// What is asked of a monitor. exec_id "": the container's first process.
namespace op {
struct Hello {
  static constexpr const char* kOp = "hello";
};
void describe(auto& /*field*/, Hello& /*op*/) {}
struct Create {
  static constexpr const char* kOp = "create";
  monitor::Create create;
};
void describe(auto& field, Create& c) { field("create", c.create); }
struct Start {
  static constexpr const char* kOp = "start";
};
void describe(auto& /*field*/, Start& /*op*/) {}
struct Attach {
  static constexpr const char* kOp = "attach";
  monitor::Attach attach;
};
void describe(auto& field, Attach& a) { field("attach", a.attach); }
struct Exec {
  static constexpr const char* kOp = "exec";
  monitor::Exec exec;
};
void describe(auto& field, Exec& e) { field("exec", e.exec); }
struct Signal {
  static constexpr const char* kOp = "signal";
  std::string exec_id;
  std::int32_t signal = 0;
  bool all = false;  // to every process of the container
};
void describe(auto& field, Signal& s) {
  field("exec_id", s.exec_id)("signal", s.signal)("all", s.all);
}
struct Resize {
  static constexpr const char* kOp = "resize";
  std::string exec_id;
  ConsoleSize size;
};
void describe(auto& field, Resize& r) { field("exec_id", r.exec_id)("size", r.size); }
struct CloseStdin {
  static constexpr const char* kOp = "close_stdin";
  std::string exec_id;
};
void describe(auto& field, CloseStdin& c) { field("exec_id", c.exec_id); }
struct Pause {
  static constexpr const char* kOp = "pause";
};
void describe(auto& /*field*/, Pause& /*op*/) {}
struct Unpause {
  static constexpr const char* kOp = "unpause";
};
void describe(auto& /*field*/, Unpause& /*op*/) {}
struct StopMonitor {
  static constexpr const char* kOp = "stop_monitor";
};
void describe(auto& /*field*/, StopMonitor& /*op*/) {}
struct Ack {
  static constexpr const char* kOp = "ack";
  std::uint64_t n = 0;  // the event's number
};
void describe(auto& field, Ack& a) { field("n", a.n); }
}  // namespace op

using Request = message::Request<kProtocolVersion, op::Hello, op::Create, op::Start, op::Attach,
                                 op::Exec, op::Signal, op::Resize, op::CloseStdin, op::Pause,
                                 op::Unpause, op::StopMonitor, op::Ack>;

struct ExecView {
  std::string exec_id;
  std::int32_t pid = 0;
  bool running = false;
  std::int32_t code = 0;
  Time ended;        // when it does not run
  std::string note;  // of its Exec
};
void describe(auto& field, ExecView& e) {
  field("exec_id", e.exec_id)("pid", e.pid)("running", e.running)("code", e.code)("ended", e.ended)(
      "note", e.note);
}

// A reply (re != 0) or an event (event != "").
struct Answer {
  std::uint64_t re = 0;
  std::optional<message::WireError> error;
  std::string event;    // exit detached attach_closed; born (monitor/spawner)
  std::uint64_t n = 0;  // exit: to be acknowledged
  std::string exec_id;
  std::int32_t code = 0;
  Time time;
  bool oom_killed = false;
  std::int32_t version = kProtocolVersion;
  std::string status;  // hello: created, running, paused, stopped
  std::int32_t pid = 0;
  std::vector<ExecView> execs;  // hello
};
void describe(auto& field, Answer& a) {
  field("re", a.re)("error", a.error)("event", a.event)("n", a.n)("exec_id", a.exec_id)(
      "code", a.code)("time", a.time)("oom_killed", a.oom_killed)("version", a.version)(
      "status", a.status)("pid", a.pid)("execs", a.execs);
}

}  // namespace coracle::monitor
