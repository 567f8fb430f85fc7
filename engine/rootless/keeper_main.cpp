// coracle-keeper: holds a user's user, mount and bridge-network namespaces, and keeps
// coracle-netstack running. Started by coracled (keeper.cpp); lives as long as somebody holds the
// other end of its lifeline: the daemon, or a container's monitor. One thread, static, few pages.
//
//   1  set_up: its namespaces, step by step; coracled writes the id maps between two steps. After a
//      keeper that was killed, take_over: it is in that one's namespaces already
//   2  publish: lifeline, keeper.sock, keeper.json
//   3  Keeper::run: one poll(2) loop over the lifeline, keeper.sock, netstack and its vault, and
//      the monitors, whose containers end with them (wards)
//   4  Keeper::end: netstack stopped, files removed
// Its descriptors are all that it has: there is no state on disk to be true to.
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/at.hpp"
#include "engine/base/file.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/base/process/process.hpp"
#include "engine/rootless/hints.hpp"
#include "engine/rootless/keeper_log.hpp"
#include "engine/rootless/protocol.hpp"
#include "engine/rootless/supervisor.hpp"
#include "engine/rootless/wards.hpp"
#include "netstack/protocol.hpp"

namespace coracle::rootless {
namespace {

constexpr int kBusyRetry_ms = 20;  // somebody enters while we want to end
constexpr std::size_t kMaxGuests = 32;

struct Arguments {
  std::string exec_root;
  int control_fd = -1;
  bool adopt = false;
};

Result<UniqueFd> open_namespace(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_error("open {}", path);
  return fd;
}

// An error that coracled explains: it knows the step by its name, and the host's settings.
std::unexpected<Error> refused(const char* step) {
  const int sys = errno;
  return std::unexpected(Error{errc_from_errno(sys), sys, step});
}

// A process cannot return to the host's network namespace once it is in a user namespace, so a
// child makes the new one, and we open it from outside. See setns(2).
Result<UniqueFd> make_network_namespace() {
  TRY(auto pair, make_socket_pair(SOCK_SEQPACKET));
  const pid_t child = ::fork();
  if (child < 0) return refused(step::kNetwork);
  if (child == 0) {
    pair.a.reset();
    int sys = ::unshare(CLONE_NEWNET) == 0 ? 0 : errno;
    (void)!::write(pair.b.get(), &sys, sizeof sys);
    (void)!::read(pair.b.get(), &sys, sizeof sys);  // until it is opened
    ::_exit(0);
  }
  pair.b.reset();
  int sys = EIO;
  (void)!::read(pair.a.get(), &sys, sizeof sys);
  auto fd = open_namespace(fmt::format("/proc/{}/ns/net", child));
  pair.a.reset();
  ::waitpid(child, nullptr, 0);
  errno = sys;
  if (sys != 0) return refused(step::kNetwork);
  return fd;
}

struct Held {
  UniqueFd user, mount, bridge_network;
  Pipe lifeline;
  UniqueFd guests;  // the listener of guest.sock, when it has outlived the last keeper
  MapsWritten maps;
  bool adopted = false;
};

// Without it, containers lose their network together with the processes that hold it.
void bind_bridge(const std::string& exec_root, const UniqueFd& bridge_network) {
  const auto path = join_path(exec_root, kBridgeName);
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file ||
      ::mount(proc_path(bridge_network).c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0)
    keeper_log("bridge's namespace not bound to {}: {}", path, std::strerror(errno));
}

Result<UniqueFd> bound_bridge(const std::string& exec_root) {
  TRY(auto fd, open_namespace(join_path(exec_root, kBridgeName)));
  struct statfs fs {};
  if (::fstatfs(fd.get(), &fs) != 0 || fs.f_type != NSFS_MAGIC)
    return fail(Errc::not_found, "nothing is bound there");
  return fd;
}

Result<Held> set_up(const std::string& exec_root, const UniqueFd& control) {
  if (::unshare(CLONE_NEWUSER) != 0) return refused(step::kUser);
  CHECK(send_message(control, json::to_text(Progress{"unshared", {}}), {}));
  TRY(const auto answer, receive_message(control));
  Held held;
  TRY(held.maps, json::from_text<MapsWritten>(answer.text));
  if (::unshare(CLONE_NEWNS) != 0) return refused(step::kMount);
  // Slave: a disk that the host mounts later is seen by containers, and none of our mounts by it.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return refused(step::kPropagation);
  TRY(held.bridge_network, make_network_namespace());
  bind_bridge(exec_root, held.bridge_network);
  TRY(held.user, open_namespace("/proc/self/ns/user"));
  TRY(held.mount, open_namespace("/proc/self/ns/mnt"));
  TRY(held.lifeline, make_pipe());
  return held;
}

Result<Held> take_over(const std::string& exec_root, const UniqueFd& control) {
  TRY(auto given, receive_message(control));
  if (given.fds.empty()) return fail(Errc::invalid_argument, "no lifeline was given");
  Held held;
  held.adopted = true;
  TRY(held.maps, json::from_text<MapsWritten>(given.text));
  held.lifeline.write = std::move(given.fds[0]);
  // The other end of the same pipe, by way of this one. See pipe(7), proc(5).
  held.lifeline.read =
      UniqueFd(::open(proc_path(held.lifeline.write).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!held.lifeline.read) return sys_error("open the lifeline");
  if (given.fds.size() > 1) held.guests = std::move(given.fds[1]);
  TRY(held.user, open_namespace("/proc/self/ns/user"));
  TRY(held.mount, open_namespace("/proc/self/ns/mnt"));
  auto bridge = bound_bridge(exec_root);
  if (bridge) {
    held.bridge_network = *std::move(bridge);
    return held;
  }
  keeper_log("bridge's namespace is lost, another one is made: {}", bridge.error().message);
  TRY(held.bridge_network, make_network_namespace());
  bind_bridge(exec_root, held.bridge_network);
  return held;
}

class Keeper {
 public:
  Keeper(std::string exec_root, UniqueFd control, Held held)
      : exec_root_(std::move(exec_root)),
        control_(std::move(control)),
        maps_(std::move(held.maps)),
        user_(std::move(held.user)),
        mount_(std::move(held.mount)),
        lifeline_(std::move(held.lifeline)),
        guest_listener_(std::move(held.guests)),
        adopted_(held.adopted),
        netstack_(exec_root_, std::move(held.bridge_network), lifeline_.read) {}

  Result<> publish();
  void run();
  void end();

 private:
  struct Poll;
  // Nobody is entering, and (unless we were asked to end) the last holder of the lifeline is gone.
  bool may_end();
  [[nodiscard]] bool nobody_left() const;
  Result<> listen_for_guests();
  void answer(UniqueFd guest);
  Result<KeeperRequest> hear(const UniqueFd& guest, std::vector<UniqueFd>& fds);
  Result<Message> admit(const KeeperRequest& request);
  Result<> carry_out(UniqueFd& guest);
  [[nodiscard]] int wait_ms() const;

  std::string exec_root_;
  UniqueFd control_;
  MapsWritten maps_;
  UniqueFd user_, mount_;
  UniqueFd directory_;  // the exec root: when its path is given to another one, we leave that alone
  UniqueFd lock_;
  Pipe lifeline_;  // our write end is closed when the first coracled is through
  UniqueFd listener_, signals_;
  UniqueFd guest_listener_;  // the daemons accept from it, we never
  std::vector<UniqueFd> guests_;
  bool adopted_ = false;  // the namespaces are an earlier keeper's
  bool asked_to_end_ = false;
  Supervisor netstack_;
  Wards wards_;
};

Result<> Keeper::publish() {
  TRY(directory_, open_dir(exec_root_));
  lock_ = at::open(directory_, kLockName, O_RDWR | O_CREAT, 0600);
  if (!lock_) return sys_error("open {}/{}", exec_root_, kLockName);
  sigset_t term;
  ::sigemptyset(&term);
  ::sigaddset(&term, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &term, nullptr);
  signals_ = UniqueFd(::signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return sys_error("make a signalfd");
  CHECK(wards_.open());
  TRY(listener_, listen_unix(join_path(exec_root_, kSocketName), SOCK_SEQPACKET));
  if (!guest_listener_) CHECK(listen_for_guests());
  struct stat lifeline {};
  if (::fstat(lifeline_.read.get(), &lifeline) != 0) return sys_error("look at the lifeline");
  TRY(auto who, identify(::getpid()));
  const KeeperRecord record{std::move(who), kKeeperVersion, lifeline.st_ino, maps_};
  CHECK(write_file_atomic(join_path(exec_root_, kRecordName), json::to_text(record), 0600,
                          Durability::unsynced));
  return send_message(control_, json::to_text(Progress{"ready", {}}), {});
}

// Below the exec root, which is ours: whatever had the name there, it is a folder of ours now.
Result<> open_guest_folder(const UniqueFd& exec_root) {
  if (at::make_dir(exec_root, kGuestFolder, 0700) != 0 && errno != EEXIST)
    return sys_error("make the folder {}", kGuestFolder);
  const UniqueFd folder = at::open_dir(exec_root, kGuestFolder);
  if (!folder || ::fchmod(folder.get(), 0700) != 0)
    return sys_error("take the folder {} from others", kGuestFolder);
  return {};
}

Result<> Keeper::listen_for_guests() {
  CHECK(open_guest_folder(directory_));
  const auto guests = join_path(exec_root_, kGuestSocketName);
  // A daemon of a killed keeper may still hold the old one: whoever has keeper.lock has the name.
  if (::unlink(guests.c_str()) != 0 && errno != ENOENT) return sys_error("remove {}", guests);
  TRY(guest_listener_, listen_unix(guests, SOCK_STREAM));
  if (::chmod(guests.c_str(), 0666) != 0) return sys_error("set the mode of {}", guests);
  return {};
}

struct Keeper::Poll {
  std::vector<pollfd> fds;
  // Adds a descriptor and returns its place; a negative one is passed over by poll(2).
  std::size_t add(const UniqueFd& fd, short events) {
    fds.push_back({fd.get(), events, 0});
    return fds.size() - 1;
  }
  [[nodiscard]] bool has(std::size_t place, int events) const {
    return (fds[place].revents & events) != 0;
  }
};

void Keeper::run() {
  if (adopted_) netstack_.adopt(Clock::now());
  bool ended = false;
  while (!ended) {
    netstack_.start_if_due(Clock::now());
    Poll p;
    const auto signals = p.add(signals_, POLLIN);
    const auto control = p.add(control_, POLLIN);
    // Asked for nothing: POLLHUP, the last writer's end, is told always. See poll(2).
    const auto lifeline = p.add(lifeline_.read, 0);
    const auto listener = p.add(listener_, POLLIN);
    const auto process = p.add(netstack_.process().fd(), POLLIN);
    const auto vault = p.add(netstack_.vault().socket(),
                             netstack_.vault().wants_to_write() ? POLLIN | POLLOUT : POLLIN);
    p.add(wards_.ready(), POLLIN);
    const auto first_guest = p.fds.size();
    for (const auto& guest : guests_) p.add(guest, POLLIN);
    if (::poll(p.fds.data(), p.fds.size(), wait_ms()) < 0) continue;  // EINTR

    if (p.has(signals, POLLIN)) {
      keeper_log("asked to end by SIGTERM");
      asked_to_end_ = true;
      signals_.reset();
    }
    if (p.has(control, POLLIN | POLLHUP)) {
      control_.reset();
      lifeline_.write.reset();
    }
    if (p.has(vault, POLLIN | POLLOUT | POLLHUP))
      netstack_.serve_vault(p.has(vault, POLLIN | POLLHUP), p.has(vault, POLLOUT));
    if (p.has(process, POLLIN)) netstack_.reap(Clock::now());
    wards_.serve(Clock::now());
    std::vector<UniqueFd> waiting;
    for (std::size_t i = 0; i < guests_.size(); ++i) {
      if (p.has(first_guest + i, POLLIN | POLLHUP)) {
        answer(std::move(guests_[i]));
      } else {
        waiting.push_back(std::move(guests_[i]));
      }
    }
    guests_ = std::move(waiting);
    if (p.has(listener, POLLIN)) {
      // One that connects and asks nothing makes room for the next.
      if (auto guest = accept_connection(listener_); guest) {
        if (guests_.size() == kMaxGuests) guests_.erase(guests_.begin());
        guests_.push_back(*std::move(guest));
      }
    }
    if (guests_.empty() && (asked_to_end_ || p.has(lifeline, POLLHUP))) ended = may_end();
  }
}

int Keeper::wait_ms() const {
  if (asked_to_end_) return kBusyRetry_ms;
  auto due = netstack_.due();
  if (const auto other = wards_.due(); other && (!due || *other < *due)) due = other;
  if (!due) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - Clock::now());
  return std::max(0, static_cast<int>(left.count()));
}

bool Keeper::nobody_left() const {
  pollfd p{lifeline_.read.get(), 0, 0};
  return ::poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0;
}

bool Keeper::may_end() {
  // The last monitor was killed: what it leaves is ended first.
  if (!asked_to_end_ && !wards_.idle()) {
    ::poll(nullptr, 0, 1);
    return false;
  }
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    ::poll(nullptr, 0, kBusyRetry_ms);
    return false;
  }
  // Between poll and flock somebody may have entered.
  if (asked_to_end_ || nobody_left()) return true;
  ::flock(lock_.get(), LOCK_UN);
  return false;
}

void Keeper::answer(UniqueFd guest) {
  const auto done = carry_out(guest);
  if (done || done.error().code == Errc::not_found) return;  // not_found: it has closed
  EnterReply reply;
  reply.error = done.error().message;
  keeper_log("not admitted: {}", reply.error);
  if (!guest) return;
  if (const auto sent = send_message(guest, json::to_text(reply), {}); !sent)
    keeper_log("not answered: {}", sent.error().message);
}

Result<> Keeper::carry_out(UniqueFd& guest) {
  std::vector<UniqueFd> fds;
  TRY(const auto request, hear(guest, fds));
  if (std::holds_alternative<op::Watch>(request.what)) return wards_.add(guest, std::move(fds));
  TRY(const auto admitted, admit(request));
  return send_message(guest, admitted);
}

Result<KeeperRequest> Keeper::hear(const UniqueFd& guest, std::vector<UniqueFd>& fds) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(guest.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
    return sys_error("ask who connects");
  // As seen from inside, our user is 0. Ids of containers are not.
  if (who.uid != ::getuid()) return fail(Errc::forbidden, "uid {} is not the keeper's", who.uid);
  TRY(auto message, receive_message(guest));
  fds = std::move(message.fds);
  return json::from_text<KeeperRequest>(message.text);
}

Result<Message> Keeper::admit(const KeeperRequest& request) {
  if (!std::holds_alternative<op::Enter>(request.what))
    return fail(Errc::unsupported, "the keeper (protocol {}) does not know '{}'", kKeeperVersion,
                message::name_of_op(request.what));
  // The keeper holds no write end; a new one is opened by way of the read end. See pipe(7),
  // proc(5).
  UniqueFd lifeline(::open(proc_path(lifeline_.read).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!lifeline) return sys_error("open the lifeline");
  Message reply;
  reply.text = json::to_text(EnterReply{std::min(request.version, kKeeperVersion), maps_.one_id,
                                        maps_.warnings, std::string{}});
  TRY(auto user, duplicate(user_));
  TRY(auto mount, duplicate(mount_));
  reply.fds.push_back(std::move(user));
  reply.fds.push_back(std::move(mount));
  reply.fds.push_back(std::move(lifeline));
  if (request.version >= 2) {
    TRY(auto guests, duplicate(guest_listener_));
    reply.fds.push_back(std::move(guests));
  }
  return reply;
}

void Keeper::end() {
  netstack_.stop();
  if (nobody_left()) {  // else the next keeper takes it
    ::umount2(join_path(proc_path(directory_), kBridgeName).c_str(), MNT_DETACH);
    at::unlink(directory_, kBridgeName);
  }
  for (const char* name : {kRecordName, kSocketName, kNetstackRecordName, netstack::kSocketName})
    at::unlink(directory_, name);
  if (const UniqueFd guests = at::open_dir(directory_, kGuestFolder))
    at::unlink(guests, kGuestSocketFile);
  at::remove_dir(directory_, kGuestFolder);
  keeper_log("ended");
}

Result<Arguments> parse(int argc, char** argv) {
  Arguments out;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    if (name == "--exec-root") {
      out.exec_root = value;
    } else if (name == "--namespaces") {
      out.adopt = value == "adopt";
    } else if (name == "--control-fd") {
      std::from_chars(value.data(), value.data() + value.size(), out.control_fd);
    } else {
      return fail(Errc::invalid_argument, "unknown flag {}", name);
    }
  }
  if (out.exec_root.empty() || out.control_fd < 3)
    return fail(Errc::invalid_argument,
                "coracle-keeper is started by coracled, with --exec-root DIR --control-fd N "
                "[--namespaces new|adopt]");
  return out;
}

// Terminals, hang-ups and interrupts are the daemon's affair, not ours.
void settle() {
  ignore_sigpipe();
  for (const int s : {SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2})
    ::signal(s, SIG_IGN);
  ::umask(077);
  (void)!::chdir("/");
  // The vault may hold many sockets.
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

void report(const UniqueFd& control, const Error& error) {
  keeper_log("not started: {}", error.message);
  Progress progress;
  progress.error = StepError{error.message, error.sys, error.message};
  (void)send_message(control, json::to_text(progress), {});
}

int keep(const Arguments& arguments) {
  settle();
  UniqueFd control(arguments.control_fd);
  if (const auto closes = set_inheritable(control, false); !closes) return 1;
  auto held = arguments.adopt ? take_over(arguments.exec_root, control)
                              : set_up(arguments.exec_root, control);
  if (!held) {
    report(control, held.error());
    return 1;
  }
  // Readable by our user's tools on purpose (PR_SET_DUMPABLE stays): a container's processes do not
  // see us, and of those with --pid=host none has all our capabilities. See ptrace(2).
  Keeper keeper(arguments.exec_root, UniqueFd(::fcntl(control.get(), F_DUPFD_CLOEXEC, 3)),
                *std::move(held));
  if (const auto published = keeper.publish(); !published) {
    report(control, published.error());
    return 1;
  }
  control.reset();
  keeper_log("{} the namespaces of {}", arguments.adopt ? "takes over" : "holds",
             arguments.exec_root);
  keeper.run();
  keeper.end();
  return 0;
}

}  // namespace
}  // namespace coracle::rootless

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::puts("coracle-keeper version " CORACLE_VERSION);
    return 0;
  }
  const auto arguments = coracle::rootless::parse(argc, argv);
  if (!arguments) {
    std::fprintf(stderr, "%s\n", arguments.error().message.c_str());
    return 2;
  }
  return coracle::rootless::keep(*arguments);
}
