#include "engine/rootless/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/rootless/keeper_log.hpp"
#include "engine/rootless/protocol.hpp"
#include "netstack/protocol.hpp"
#include "netstack/takeover.hpp"

namespace coracle::rootless {
namespace {

using namespace std::chrono_literals;

constexpr auto kQuickEnd = 10s;     // an end within this time of the start counts as a quick one
constexpr auto kMissingRetry = 5s;  // netstack's program is not there: an installation in progress
constexpr int kTermWait_ms = 2000;
constexpr off_t kMaxLog = 1 << 20;
constexpr int kBridgeFd = 3;
constexpr int kVaultFd = 4;
constexpr int kLifelineFd = 5;
constexpr int kKillWait_ms = 5000;

// Empties a log that has grown large; at a start, so that the last words of a predecessor stay.
void keep_small(int log) {
  struct stat st {};
  if (::fstat(log, &st) == 0 && st.st_size > kMaxLog) (void)!::ftruncate(log, 0);
}

Result<UniqueFd> open_log(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return sys_error("open {}", path);
  keep_small(fd.get());
  keep_small(STDERR_FILENO);  // our own: a netstack that ends again and again adds lines to it
  return fd;
}

// Ends a netstack that is not our child.
void end_stranger(const Pidfd& process) {
  if (!process || !process.send_signal(SIGKILL)) return;
  pollfd p{process.fd().get(), POLLIN, 0};
  if (::poll(&p, 1, kKillWait_ms) != 1) keeper_log("netstack does not end pid={}", process.pid());
}

// Whoever listens at the other end. Its number is its own if it listens still once its descriptor
// is held: with its end the connection ends.
Result<Pidfd> peer_of(const UniqueFd& connection) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
    return sys_error("ask who listens");
  TRY(auto process, Pidfd::open(who.pid));
  pollfd p{connection.get(), 0, 0};
  if (::poll(&p, 1, 0) != 0) return fail(Errc::not_found, "who listened has ended");
  return process;
}

// The netstack that netstack.json names, if it lives.
Pidfd recorded(const std::string& exec_root) {
  const auto text = read_file(join_path(exec_root, kNetstackRecordName), 4096);
  if (!text) return {};
  const auto who = json::from_text<ProcessIdentity>(*text);
  if (!who) return {};
  auto process = Pidfd::open(*who);
  return process && !process->ended() ? *std::move(process) : Pidfd();
}

}  // namespace

std::chrono::milliseconds restart_delay(unsigned quick_ends) {
  if (quick_ends == 0) return 0ms;
  constexpr unsigned kMaxDoublings = 7;
  return std::min<std::chrono::milliseconds>(
      100ms * (1U << std::min(quick_ends - 1, kMaxDoublings)), 10s);
}

void Supervisor::start_if_due(Clock::time_point now) {
  if (!due_ || now < *due_) return;
  if (const auto started = start(); started) {
    due_.reset();
    started_ = now;
    said_why_ = false;
    keeper_log("netstack started pid={}", process_.pid());
    return;
  } else if (!std::exchange(said_why_, true)) {
    keeper_log("netstack not started, tried again every {} s: {}",
               std::chrono::seconds(kMissingRetry).count(), started.error().message);
  }
  process_ = Pidfd();
  vault_.close();
  due_ = now + kMissingRetry;
}

Result<> Supervisor::start() {
  TRY(const auto program, find_helper("coracle-netstack"));
  TRY(const auto log, open_log(join_path(exec_root_, "netstack.log")));
  TRY(const auto vault_end, vault_.open());
  SpawnOptions options;
  options.program = program;
  options.argv = {"coracle-netstack",
                  "--exec-root",
                  exec_root_,
                  "--bridge-netns-fd",
                  std::to_string(kBridgeFd),
                  "--vault-fd",
                  std::to_string(kVaultFd),
                  "--lifeline-fd",
                  std::to_string(kLifelineFd)};
  options.fds = {{log.get(), STDOUT_FILENO},
                 {log.get(), STDERR_FILENO},
                 {bridge_netns_.get(), kBridgeFd},
                 {vault_end.get(), kVaultFd},
                 {lifeline_.get(), kLifelineFd}};
  options.new_session = true;
  TRY(process_, spawn(options));
  record();
  return {};
}

// For the next keeper, should this one be killed: it ends a netstack that does not listen.
void Supervisor::record() const {
  const auto who = identify(process_.pid());
  if (!who) return;
  const auto written = write_file_atomic(join_path(exec_root_, kNetstackRecordName),
                                         json::to_text(*who), 0600, Durability::unsynced);
  if (!written) keeper_log("netstack's identity not recorded: {}", written.error().message);
}

void Supervisor::adopt(Clock::time_point now) {
  const auto known = recorded(exec_root_);
  if (auto c = connect_unix(join_path(exec_root_, netstack::kSocketName), SOCK_SEQPACKET); c) {
    if (const auto taken = take_over(*c); taken) {
      due_.reset();
      started_ = now;
      if (known && known.pid() != process_.pid()) end_stranger(known);
      record();
      keeper_log("netstack taken over pid={}", process_.pid());
      return;
    } else {
      keeper_log("netstack not taken over: {}", taken.error().message);
    }
    if (const auto peer = peer_of(*c); peer) end_stranger(*peer);
  }
  vault_.close();
  process_ = Pidfd();
  end_stranger(known);
}

Result<> Supervisor::take_over(const UniqueFd& connection) {
  TRY(process_, peer_of(connection));
  TRY(const auto vault_end, vault_.open());
  return netstack::give_vault(connection, vault_end);
}

void Supervisor::reap(Clock::time_point now) {
  const auto status = process_.wait();
  quick_ends_ = now - started_ < kQuickEnd ? quick_ends_ + 1 : 0;
  const auto delay = restart_delay(quick_ends_);
  keeper_log("netstack ended pid={} status={} restart_in_ms={} kept={}", process_.pid(),
             status ? status->code : -1, delay.count(), vault_.size());
  process_ = Pidfd();
  serve_vault(true, false);
  vault_.close();
  due_ = now + delay;
}

void Supervisor::serve_vault(bool readable, bool writable) {
  if (!vault_.socket()) return;
  Result<> served;
  if (readable) served = vault_.serve();
  if (served && writable) served = vault_.flush();
  if (served) return;
  // Closed by an end of netstack that is about to be reaped, or by a message we do not understand:
  // then netstack's entries up to here stay.
  if (process_ && !process_.ended()) keeper_log("{}", served.error().message);
  vault_.close();
}

void Supervisor::stop() {
  due_.reset();
  if (!process_) return;
  (void)process_.send_signal(SIGTERM);  // not_found: it has ended by itself
  pollfd p{process_.fd().get(), POLLIN, 0};
  if (::poll(&p, 1, kTermWait_ms) != 1) (void)process_.send_signal(SIGKILL);
  (void)process_.wait();
  process_ = Pidfd();
}

}  // namespace coracle::rootless
