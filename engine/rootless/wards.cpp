#include "engine/rootless/wards.hpp"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "engine/base/json.hpp"
#include "engine/rootless/keeper_log.hpp"
#include "engine/rootless/protocol.hpp"

namespace coracle::rootless {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 2s;  // for what forks while it is killed
constexpr auto kBetween = 10ms;
constexpr rlim_t kFdsEach = 8;  // at most: connection, pidfd, namespaces
constexpr std::size_t kEvents = 32;

// Half of our descriptors: netstack's vault lives of the rest.
std::size_t most_wards() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return static_cast<std::size_t>(limit.rlim_cur / 2 / kFdsEach);
}

}  // namespace

Result<> Wards::open() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return sys_error("make an epoll descriptor");
  return {};
}

Result<> Wards::add(UniqueFd& connection, std::vector<UniqueFd> fds) {
  if (fds.empty()) return fail(Errc::invalid_argument, "watch: no process came");
  if (wards_.size() >= most_wards())
    return fail(Errc::unavailable, "watch: {} containers are watched already", wards_.size());
  Ward ward;
  ward.init = std::move(fds.front());
  fds.erase(fds.begin());
  TRY(ward.namespaces, OwnNamespaces::from(std::move(fds)));
  // Signal 0 tells whether it is a process.
  if (::syscall(SYS_pidfd_send_signal, ward.init.get(), 0, nullptr, 0) != 0 && errno != ESRCH)
    return sys_error("watch: look at the process");
  CHECK(set_nonblocking(connection, true));
  const auto id = next_id_++;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = id;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.get(), &event) != 0)
    return sys_error("watch a monitor");
  ward.connection = std::move(connection);
  wards_.emplace(id, std::move(ward));
  return {};
}

void Wards::serve(Clock::time_point now) {
  std::array<epoll_event, kEvents> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEvents, 0);
  for (int i = 0; i < count; ++i) {
    const auto found = wards_.find(events[static_cast<std::size_t>(i)].data.u64);
    if (found == wards_.end()) continue;
    const auto message = receive_message(found->second.connection);
    if (!message && message.error().sys == EAGAIN) continue;
    Ward ward = std::move(found->second);
    wards_.erase(found);
    const auto request =
        message ? json::from_text<KeeperRequest>(message->text) : Result<KeeperRequest>{};
    // One that speaks of something else is not one of ours: it is let go without harm.
    if (message && (!request || !std::holds_alternative<op::Done>(request->what)))
      keeper_log("a monitor said what is not known");
    if (!message) end(std::move(ward), now);
  }
  if (!ending_.empty() && now >= next_round_) go_on(now);
}

void Wards::end(Ward ward, Clock::time_point now) {
  ward.connection.reset();
  const bool lived = ::syscall(SYS_pidfd_send_signal, ward.init.get(), SIGKILL, nullptr, 0) == 0;
  if (lived) keeper_log("a container's monitor was killed, and so is the container");
  if (ward.namespaces.empty()) return;
  ward.give_up = now + kPatience;
  ending_.push_back(std::move(ward));
  next_round_ = now;
}

void Wards::go_on(Clock::time_point now) {
  std::erase_if(ending_, [&](Ward& ward) {
    if (ward.sweep.round(ward.namespaces)) return true;
    if (now < ward.give_up) return false;
    keeper_log("processes of a container whose monitor was killed do not end");
    return true;
  });
  next_round_ = now + kBetween;
}

std::optional<Wards::Clock::time_point> Wards::due() const {
  if (ending_.empty()) return std::nullopt;
  return next_round_;
}

}  // namespace coracle::rootless
