// coracled's side: find this exec root's keeper or start one, then enter its namespaces. The
// messages are in protocol.hpp.
//
//   lock keeper.lock
//   keeper.json names a living process?   yes: enter
//   a monitor lives (survivor.hpp)?       yes: enter its namespaces, start a keeper that takes them
//                                              over; enter
//   else clear away what is left, start coracle-keeper (start_keeper.hpp); enter
//   enter: namespaces and lifeline from keeper.sock, setns(2) twice
#include "engine/rootless/keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstring>

#include "engine/base/file.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/base/private_dir.hpp"
#include "engine/base/process/process.hpp"
#include "engine/rootless/protocol.hpp"
#include "engine/rootless/start_keeper.hpp"
#include "engine/rootless/survivor.hpp"

namespace coracle::rootless {
namespace {

constexpr int kLockTries = 1500;  // of 20 ms
constexpr int kLockPause_ms = 20;
constexpr int kLeaving_ms = 2000;
constexpr std::size_t kEnterFds = 3;  // user, mount, lifeline; since version 2 the guests' listener

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
// The living keeper of this exec root; an empty Pidfd where there is none.
Pidfd find_keeper(const std::string& exec_root) {
  const auto text = read_file(join_path(exec_root, kRecordName), 1 << 16);
  if (!text) return {};
  const auto record = json::from_text<KeeperRecord>(*text);
  if (!record) return {};
  auto process = Pidfd::open(record->identity);
  if (!process || process->ended()) return {};
  return std::move(*process);
}

// A process that was killed closes its sockets a little before it counts as ended.
bool is_leaving(const Pidfd& keeper) {
  pollfd end{keeper.fd().get(), POLLIN, 0};
  return ::poll(&end, 1, kLeaving_ms) == 1;
}

struct Admission {
  UniqueFd user, mount;
  Heritage heritage;
};

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

// Runs `join`, which puts us into "/", and comes back. A directory that is gone is no loss.
template <class F>
Result<> join_from_here(F join) {
  std::array<char, PATH_MAX> old{};
  const bool had_directory = ::getcwd(old.data(), old.size()) != nullptr;
  CHECK(join());
  if (had_directory) (void)!::chdir(old.data());
  return {};
}

Result<> join_namespaces(const Admission& admission) {
  // The user namespace first: it gives the right to enter the other.
  if (::setns(admission.user.get(), CLONE_NEWUSER) != 0) {
    return sys_error("enter the keeper's user namespace{}",
                     errno == EINVAL ? " (this process has threads already, or is inside it)" : "");
  }
  if (::setns(admission.mount.get(), CLONE_NEWNS) != 0)
    return sys_error("enter the keeper's mount namespace");
  return {};
}

// What the living keeper of this exec root gives to whoever asks.
Result<Admission> ask_keeper(const std::string& exec_root) {
  TRY(const auto socket, connect_unix(join_path(exec_root, kSocketName), SOCK_SEQPACKET));
  KeeperRequest request;
  request.what = op::Enter{};
  CHECK(send_message(socket, json::to_text(request), {}));
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
  Admission out;
  out.heritage.one_id = reply.one_id;
  out.heritage.warnings = std::move(reply.warnings);
  out.user = std::move(message.fds[0]);
  out.mount = std::move(message.fds[1]);
  out.heritage.lifeline = std::move(message.fds[2]);
  if (reply.version >= 2) out.heritage.guest_listener = std::move(message.fds[3]);
  return out;
}

Result<Entered> enter(const std::string& exec_root, bool inside_already) {
  TRY(auto admission, ask_keeper(exec_root));
  if (!inside_already) CHECK(join_from_here([&] { return join_namespaces(admission); }));
  auto& h = admission.heritage;
  // The listener may be an older keeper's, which did not have the folder.
  auto guests = join_path(exec_root, kGuestSocketName);
  if (!exists(guests)) guests = join_path(exec_root, kGuestSocketBefore3);
  return Entered{h.one_id, std::move(h.warnings), std::move(h.lifeline),
                 std::move(h.guest_listener), std::move(guests)};
}

Result<std::string> absolute(const std::string& path) {
  if (path.starts_with('/')) return clean_path(path);
  std::array<char, PATH_MAX> here{};
  if (::getcwd(here.data(), here.size()) == nullptr) return sys_error("find the working directory");
  return clean_path(join_path(here.data(), path));
}

// There is no keeper: one is started in the namespaces that something still lives in, or in new
// ones. Under the lock.
Result<Entered> enter_new_keeper(const std::string& root) {
  UniqueFd control;  // while it is open, a keeper that has just begun waits for us
  bool inside = false;
  std::string cut_off;
  auto survivor = find_survivor(root);
  Result<> joined;
  if (survivor) joined = join_from_here([&] { return join_survivor(*survivor); });
  if (survivor && joined) {
    inside = true;  // from here on there is no way to other namespaces
    TRY(control, start_adopting_keeper(root, survivor->heritage));
  } else {
    if (survivor)
      cut_off = joined.error().message;
    else if (survivor.error().code != Errc::not_found)
      cut_off = survivor.error().message;
    clear_away(root);
    TRY(control, start_keeper(root));
  }
  auto entered = enter(root, inside);
  if (!entered) return std::unexpected(entered.error().within("enter the keeper of {}", root));
  if (!cut_off.empty()) {
    entered->warnings.push_back(
        fmt::format("the keeper was killed, and what runs could not be taken over ({}): it has no "
                    "network until it is started again",
                    cut_off));
  }
  return entered;
}

std::string user_namespace(const std::string& process) {
  std::array<char, 64> text{};
  const auto n = ::readlink(("/proc/" + process + "/ns/user").c_str(), text.data(), text.size());
  return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : std::string();
}

}  // namespace

Result<Entered> enter_keeper(const std::string& exec_root) {
  TRY(const auto root, absolute(exec_root));
  if (auto ours = take_private_dir(root); !ours)
    return std::unexpected(ours.error().within("exec root"));
  TRY(const auto lock, lock_exec_root(root));
  if (const auto found = find_keeper(root)) {
    auto entered = enter(root, false);
    if (entered) return entered;
    if (!is_leaving(found)) {
      return std::unexpected(entered.error().within(
          "enter the keeper of {} (process {}; if it is stuck, end it with kill -9 {})", root,
          found.pid(), found.pid()));
    }
  }
  return enter_new_keeper(root);
}

Result<Heritage> ask_heritage(const std::string& exec_root) {
  TRY(auto admission, ask_keeper(exec_root));
  return std::move(admission.heritage);
}

Result<> replace_keeper(const std::string& exec_root, const Heritage& heritage) {
  TRY(const auto lock, lock_exec_root(exec_root));
  if (find_keeper(exec_root)) return {};
  TRY(const auto control, start_adopting_keeper(exec_root, heritage));
  return {};
}

bool of_another_keeper(const ProcessIdentity& who) {
  // One that may not be asked is outside of our namespace: inside we may all.
  return user_namespace(std::to_string(who.pid)) != user_namespace("self");
}

}  // namespace coracle::rootless
