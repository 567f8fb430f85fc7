#include "engine/monitor/oci_command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "engine/base/c_text.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/file.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/base/private_dir.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/process/sealed_program.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/launch.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::monitor {
namespace {

constexpr const char* kUsage =
    "usage: coracle-monitor [--root DIR] COMMAND\n"
    "  create [--bundle DIR] [--console-socket PATH] [--pid-file PATH] ID\n"
    "  start ID\n"
    "  run [--bundle DIR] [--console-socket PATH] [--pid-file PATH] ID\n"
    "  state ID\n"
    "  kill ID [SIGNAL]\n"
    "  delete [--force] ID\n"
    "  --version\n";
constexpr const char* kStateName = "state.json";
constexpr const char* kStartSocket = "start.sock";
constexpr int kEndWait_ms = 10000;  // after SIGKILL

// ROOT/ID/state.json
struct Record {
  std::string id;
  std::string bundle;
  ProcessIdentity init;
  std::map<std::string, std::string> annotations;
};
void describe(auto& field, Record& r) {
  field("id", r.id)("bundle", r.bundle)("init", r.init)("annotations", r.annotations);
}

// What the waiter answers to `start`.
struct Started {
  std::string code;  // "" : execve succeeded
  std::string message;
};
void describe(auto& field, Started& s) { field("code", s.code)("message", s.message); }

struct Arguments {
  std::string root, command;
  std::string bundle = ".";
  std::string console_socket, pid_file;
  bool force = false;
  std::vector<std::string> rest;  // ID, SIGNAL
};

// The same as the daemon's, with a folder of its own.
Result<std::string> default_root() {
  const char* dir = std::getenv("XDG_RUNTIME_DIR");
  TRY(const auto runtime, runtime_dir(dir == nullptr ? "" : dir, ::getuid()));
  return join_path(runtime.path, "coracle/oci");
}

Result<std::string> absolute(const std::string& path) {
  if (path.starts_with('/')) return path;
  std::array<char, PATH_MAX> here{};
  if (::getcwd(here.data(), here.size()) == nullptr) return sys_error("find the working directory");
  return join_path(here.data(), path);
}

Result<Arguments> parse(const std::vector<std::string>& words) {
  Arguments a;
  std::string ignored;
  const std::map<std::string, std::string*> valued = {
      {"--root", &a.root},         {"--bundle", &a.bundle},
      {"-b", &a.bundle},           {"--console-socket", &a.console_socket},
      {"--pid-file", &a.pid_file}, {"--log", &ignored},
      {"--log-format", &ignored}};
  // Accepted for callers that know only runc's words; they ask for nothing that we do otherwise.
  const std::set<std::string> without_effect = {
      "--no-pivot", "--no-new-keyring", "--debug", "--systemd-cgroup", "--all", "-a"};
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string word = words[i];
    std::optional<std::string> value;
    if (const auto equals = word.find('='); word.starts_with("--") && equals != std::string::npos) {
      value = word.substr(equals + 1);
      word.resize(equals);
    }
    if (const auto found = valued.find(word); found != valued.end()) {
      if (!value && ++i == words.size())
        return fail(Errc::invalid_argument, "{} needs a value", word);
      *found->second = value ? *value : words[i];
    } else if (word == "--force" || word == "-f") {
      a.force = true;
    } else if (without_effect.contains(word)) {
      continue;
    } else if (word.starts_with("-") && word.size() > 1 && a.rest.empty()) {
      return fail(Errc::invalid_argument, "{}: not a known option", word);
    } else if (a.command.empty()) {
      a.command = word;
    } else {
      a.rest.push_back(word);
    }
  }
  if (a.command.empty()) return fail(Errc::invalid_argument, "no command was given");
  if (a.rest.empty())
    return fail(Errc::invalid_argument, "{}: no container id was given", a.command);
  if (a.root.empty()) {
    TRY(a.root, default_root());
  }
  TRY(a.root, absolute(a.root));
  const auto& id = a.rest.front();
  const bool fits = std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || std::strchr("_+-.", c) != nullptr;
  });
  if (!fits || id.empty() || id == "." || id == "..")
    return fail(Errc::invalid_argument,
                "invalid container id {}: letters, digits and _+-. are allowed", id);
  return a;
}

// --- what is known of a container ---

std::string dir_of(const Arguments& a) { return join_path(a.root, a.rest.front()); }
std::string start_socket_of(const Arguments& a) { return join_path(dir_of(a), kStartSocket); }

// What stands there names processes that are signalled, and a socket that is asked: it is believed
// only where nobody else can have written it.
Result<Record> load(const Arguments& a) {
  if (auto ours = open_private_dir(a.root); !ours && ours.error().code != Errc::not_found)
    return std::unexpected(ours.error().within("--root"));
  const auto text = read_file(join_path(dir_of(a), kStateName));
  if (!text && text.error().code == Errc::not_found)
    return fail(Errc::not_found, "container {} does not exist", a.rest.front());
  if (!text) return std::unexpected(text.error());
  return json::from_text<Record>(*text);
}

std::string status_of(const Arguments& a, const Record& record) {
  const auto init = Pidfd::open(record.init);
  if (!init || init->ended()) return "stopped";
  return exists(start_socket_of(a)) ? "created" : "running";
}

// --- create, start, run ---

Result<oci::Spec> read_bundle(const std::string& bundle) {
  const std::string path = join_path(bundle, "config.json");
  TRY(const auto text, read_file(path));
  auto checked = require_no_nul(text);
  auto spec = checked ? json::from_text<oci::Spec>(text) : std::unexpected(checked.error());
  if (!spec) return std::unexpected(spec.error().within("read {}", path));
  if (spec->hooks) {
    const auto& h = *spec->hooks;
    if (!h.prestart.empty() || !h.create_runtime.empty() || !h.create_container.empty() ||
        !h.start_container.empty() || !h.poststart.empty() || !h.poststop.empty())
      return fail(Errc::unsupported, "read {}: hooks are not supported", path);
  }
  return spec;
}

// A user namespace without mappings, as rootless bundles have it: root in it is the caller, and
// nobody else is mapped.
void map_caller(oci::Spec& spec) {
  auto& l = spec.linux;
  const bool own = std::any_of(l.namespaces.begin(), l.namespaces.end(),
                               [](const auto& n) { return n.type == "user" && n.path.empty(); });
  if (!own) return;
  if (l.uid_mappings.empty()) l.uid_mappings = {{0, ::geteuid(), 1}};
  if (l.gid_mappings.empty()) l.gid_mappings = {{0, ::getegid(), 1}};
}

// Sends the pty's master to whoever listens, as runc does: its name is the message.
Result<> send_console(const std::string& path, const UniqueFd& console) {
  TRY(const auto socket, connect_unix(path, SOCK_STREAM));
  std::array<char, 10> name{"/dev/ptmx"};
  iovec part{name.data(), name.size() - 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control.data();
  m.msg_controllen = control.size();
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = console.get();
  std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  if (::sendmsg(socket.get(), &m, MSG_NOSIGNAL) < 0)
    return sys_error("send the terminal to {}", path);
  return {};
}

Result<runtime::Launched> launch_bundle(Arguments& a) {
  std::array<char, PATH_MAX> real{};
  if (::realpath(a.bundle.c_str(), real.data()) == nullptr) return sys_error("bundle {}", a.bundle);
  a.bundle = real.data();
  TRY(auto spec, read_bundle(a.bundle));
  map_caller(spec);
  if (spec.process.terminal && a.console_socket.empty())
    return fail(Errc::invalid_argument, "the process wants a terminal: give --console-socket");
  if (!spec.process.terminal && !a.console_socket.empty())
    return fail(Errc::invalid_argument, "--console-socket: the process wants no terminal");

  runtime::LaunchRequest request;
  request.spec = &spec;
  request.bundle = a.bundle;
  if (!spec.process.terminal) request.stdio = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
  TRY(auto launched, runtime::launch(request));

  const auto finish = [&]() -> Result<> {
    Record record{a.rest.front(), a.bundle, {}, spec.annotations};
    TRY(record.init, identify(launched.init().pid()));
    if (spec.process.terminal) {
      CHECK(send_console(a.console_socket, launched.console()));
      launched.console().reset();
    }
    CHECK(write_file_atomic(join_path(dir_of(a), kStateName), json::to_text(record)));
    if (a.pid_file.empty()) return {};
    return write_file_atomic(a.pid_file, std::to_string(launched.init().pid()), 0644,
                             Durability::unsynced);
  };
  if (const auto finished = finish(); !finished) {
    (void)launched.init().send_signal(SIGKILL);
    (void)launched.init().wait();
    return std::unexpected(finished.error());
  }
  return launched;
}

// Makes the container's directory, which reserves its id, and undoes it when `act` fails.
template <class Act>
Result<int> in_new_directory(const Arguments& a, Act act) {
  if (auto ours = take_private_dir(a.root); !ours)
    return std::unexpected(ours.error().within("--root"));
  if (::mkdir(dir_of(a).c_str(), 0700) != 0) {
    if (errno == EEXIST)
      return fail(Errc::conflict, "container with id {} exists already", a.rest.front());
    return sys_error("make {}", dir_of(a));
  }
  auto done = act();
  if (!done) (void)remove_tree(dir_of(a));
  return done;
}

bool end_process(const Pidfd& process) {
  (void)process.send_signal(SIGKILL);
  pollfd end{process.fd().get(), POLLIN, 0};
  return ::poll(&end, 1, kEndWait_ms) == 1;
}

// The waiter: serves one start, or ends with the container's first process.
[[noreturn]] void wait_for_start(runtime::Launched launched, const UniqueFd& listener,
                                 const std::string& path) {
  ::setsid();
  // The caller reads our output to its end.
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null.get(), fd);
  launched.mount_namespace().reset();
  for (;;) {
    std::array<pollfd, 2> waits{pollfd{listener.get(), POLLIN, 0},
                                pollfd{launched.init().fd().get(), POLLIN, 0}};
    if (::poll(waits.data(), waits.size(), -1) < 0) continue;
    if (waits[0].revents == 0) {
      ::unlink(path.c_str());
      ::_exit(0);
    }
    const auto client = accept_connection(listener);
    if (!client) continue;
    const auto started = launched.start();
    Started answer;
    if (!started) {
      answer = {name_of(started.error().code), started.error().message};
      (void)end_process(launched.init());  // `state` says "stopped" once `start` has answered
    }
    ::unlink(path.c_str());
    (void)send_message(*client, json::to_text(answer), {});
    ::_exit(0);
  }
}

Result<int> create(Arguments& a) {
  return in_new_directory(a, [&]() -> Result<int> {
    TRY(const auto listener, listen_unix(start_socket_of(a), SOCK_SEQPACKET));
    TRY(auto launched, launch_bundle(a));
    const pid_t waiter = ::fork();
    if (waiter < 0) {
      const int reason = errno;
      (void)launched.init().send_signal(SIGKILL);
      return sys_error_of(reason, "fork");
    }
    if (waiter == 0) wait_for_start(std::move(launched), listener, start_socket_of(a));
    return 0;
  });
}

Result<int> start(const Arguments& a) {
  TRY(const auto record, load(a));
  const auto status = status_of(a, record);
  if (status != "created")
    return fail(Errc::conflict, "cannot start a container in the {} state", status);
  TRY(const auto socket, connect_unix(start_socket_of(a), SOCK_SEQPACKET));
  TRY(const auto message, receive_message(socket));
  TRY(const auto answer, json::from_text<Started>(message.text));
  if (!answer.code.empty()) return fail(errc_from_name(answer.code), "{}", answer.message);
  return 0;
}

Result<int> run(Arguments& a) {
  auto code = in_new_directory(a, [&]() -> Result<int> {
    TRY(auto launched, launch_bundle(a));
    CHECK(launched.start());
    // Signals from the terminal reach the container by themselves, or are its caller's business.
    for (const int signal : {SIGINT, SIGQUIT, SIGTERM, SIGHUP}) ::signal(signal, SIG_IGN);
    TRY(const auto status, launched.init().wait());
    return status.code;
  });
  if (code) (void)remove_tree(dir_of(a));
  return code;
}

// --- state, kill, delete ---

Result<int> state(const Arguments& a) {
  TRY(const auto record, load(a));
  oci::State s;
  s.id = record.id;
  s.status = status_of(a, record);
  s.pid = s.status == "stopped" ? 0 : record.init.pid;
  s.bundle = record.bundle;
  s.annotations = record.annotations;
  std::printf("%s\n", json::to_text(s).c_str());
  return 0;
}

Result<int> signal_from(std::string text) {
  int number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec == std::errc{} && read.ptr == text.data() + text.size() && number > 0 &&
      number <= SIGRTMAX)
    return number;
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (text.starts_with("SIG")) text.erase(0, 3);
  for (int n = 1; n < SIGRTMIN; ++n) {
    if (const char* name = ::sigabbrev_np(n); name != nullptr && text == name) return n;
  }
  return fail(Errc::invalid_argument, "unknown signal {}", text);
}

Result<int> kill(const Arguments& a) {
  TRY(const int signal, signal_from(a.rest.size() > 1 ? a.rest[1] : "TERM"));
  TRY(const auto record, load(a));
  const auto init = Pidfd::open(record.init);
  if (!init || init->ended()) return fail(Errc::conflict, "container {} is not running", record.id);
  CHECK(init->send_signal(signal));
  return 0;
}

Result<int> remove(const Arguments& a) {
  const auto record = load(a);
  if (!record) {
    if (a.force && record.error().code == Errc::not_found) return 0;
    return std::unexpected(record.error());
  }
  const auto status = status_of(a, *record);
  if (status == "running" && !a.force)
    return fail(Errc::conflict, "cannot delete container {} that is not stopped: {}", record->id,
                status);
  if (const auto init = Pidfd::open(record->init); init && !init->ended() && !end_process(*init)) {
    return fail(Errc::internal, "delete container {}: process {} does not end", record->id,
                init->pid());
  }
  CHECK(remove_tree(dir_of(a)));
  return 0;
}

// The container's first process is one of us until it executes its own program: what it shows of
// our file must not lead to a file that can be written. So we are executed from a copy of it.
Result<> execute_sealed(const std::vector<std::string>& words) {
  if (runs_sealed()) return {};
  TRY(const auto copy, copy_program_sealed("/proc/self/exe"));
  std::vector<char*> argv;
  std::string name = "coracle-monitor";
  argv.push_back(name.data());
  // execve takes char*, and does not write. See execve(2).
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execve(proc_path(copy).c_str(), argv.data(), environ);
  return sys_error("execute a sealed copy of coracle-monitor");
}

Result<int> carry_out(const std::vector<std::string>& words) {
  TRY(auto a, parse(words));
  if (a.command == "create" || a.command == "run") CHECK(execute_sealed(words));
  if (a.command == "create") return create(a);
  if (a.command == "start") return start(a);
  if (a.command == "run") return run(a);
  if (a.command == "state") return state(a);
  if (a.command == "kill") return kill(a);
  if (a.command == "delete") return remove(a);
  return fail(Errc::invalid_argument, "{}: not a known command", a.command);
}

}  // namespace

int oci_command(const std::vector<std::string>& words) {
  if (!words.empty() && (words.back() == "--version" || words.back() == "-v")) {
    std::printf("coracle-monitor version %s\nspec: %s\n", CORACLE_VERSION, oci::kVersion);
    return 0;
  }
  if (words.empty() || words[0] == "--help" || words[0] == "-h") {
    std::fputs(kUsage, words.empty() ? stderr : stdout);
    return words.empty() ? 1 : 0;
  }
  const auto done = carry_out(words);
  if (done) return *done;
  std::fprintf(stderr, "coracle-monitor: %s\n", done.error().message.c_str());
  return 1;
}

}  // namespace coracle::monitor
