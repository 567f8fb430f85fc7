#include "engine/keeper_watch.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/context.hpp"
#include "engine/network/networks.hpp"
#include "engine/rootless/keeper.hpp"
#include "engine/rootless/protocol.hpp"

namespace coracle {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using HeritagePtr = std::shared_ptr<const rootless::Heritage>;

constexpr milliseconds kFirstDelay{100};
constexpr milliseconds kLongestDelay{500};     // of those that start, and end soon
constexpr milliseconds kLongestRetry{5'000};   // of those that cannot start
constexpr std::chrono::seconds kLongLife{10};  // after it the delay begins anew

constexpr const char* kTrouble =
    "coracle-keeper has ended and another one has not been started yet: containers run on, but the "
    "network is not started again should it end; coracled's log and keeper.log say why, and it is "
    "tried again";

std::optional<ProcessIdentity> read_keeper(const std::string& exec_root) {
  const auto text = read_file(exec_root + "/" + rootless::kRecordName);
  if (!text) return std::nullopt;
  auto record = json::from_text<rootless::KeeperRecord>(*text);
  if (!record || record->identity.pid == 0) return std::nullopt;
  return std::move(record->identity);
}

std::optional<ProcessIdentity> read_netstack(const std::string& exec_root) {
  const auto text = read_file(exec_root + "/" + rootless::kNetstackRecordName);
  if (!text) return std::nullopt;
  auto who = json::from_text<ProcessIdentity>(*text);
  if (!who || who->pid == 0) return std::nullopt;
  return *std::move(who);
}

// What is left of a process, if it is our child: the keeper that we started, or its netstack, which
// became ours with its end (Engine::open made us the reaper of orphans).
void reap(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, WNOHANG);
}

Coro<void> reap_when_ended(asio::io_context& io, ProcessIdentity who) {
  const auto process = Pidfd::open(who);
  if (!process) co_return;
  const auto ended = co_await wait_readable(io, process->fd());
  if (ended) reap(who.pid);
}

// What its successor will need: asked while it lives.
Coro<HeritagePtr> ask_heritage(const EngineConfig& config, Workers& workers) {
  auto job = [root = config.exec_root] { return rootless::ask_heritage(root); };
  auto asked = co_await workers.run(std::move(job));
  if (asked) co_return std::make_shared<const rootless::Heritage>(*std::move(asked));
  log::debug("keeper not asked reason={}", asked.error().message);
  auto own = std::make_shared<rootless::Heritage>();
  own->one_id = config.one_id;
  if (auto lifeline = duplicate(config.lifeline)) own->lifeline = *std::move(lifeline);
  co_return own;
}

using Holding = std::shared_ptr<Networks::HeldBack>;

// Beside the watch: netstack may take its time, and the keeper may be killed meanwhile.
Coro<void> restore_network(asio::io_context& io, const bool& closing, Networks& networks,
                           Holding until_done) {
  co_await networks.restore();
  until_done.reset();
  // Of a container that had its network already, and was about to run.
  for (const milliseconds later : {milliseconds{1000}, milliseconds{5000}}) {
    co_await sleep_for(io, later);
    if (closing) co_return;
    co_await networks.restore();
  }
}

Coro<bool> replace_once(Context& context, Networks& networks, HeritagePtr heritage, bool first,
                        Holding holding) {
  auto job = [root = context.config.exec_root, heritage] {
    return rootless::replace_keeper(root, *heritage);
  };
  const auto netstack = read_netstack(context.config.exec_root);
  const auto replaced = co_await context.workers.run(std::move(job));
  if (!replaced) {
    if (first) log::error("keeper not replaced, tried again reason={}", replaced.error().message);
    co_return false;
  }
  if (netstack) context.scope.start("reap netstack", reap_when_ended(context.io, *netstack));
  auto restoring = restore_network(context.io, context.closing, networks, std::move(holding));
  context.scope.start("restore network", std::move(restoring));
  co_return true;
}

}  // namespace

std::string keeper_trouble(const std::string& exec_root) {
  if (!exists(exec_root + "/" + rootless::kLockName))
    return "";  // there never was one: the engine runs without (tests)
  const auto keeper = read_keeper(exec_root);
  if (!keeper) return kTrouble;
  const auto process = Pidfd::open(*keeper);
  return process && !process->ended() ? "" : kTrouble;
}

Coro<void> watch_keeper(Context& context, Networks& networks) {
  if (!context.config.lifeline) co_return;  // the engine runs without a keeper (tests)
  const auto heritage = co_await ask_heritage(context.config, context.workers);
  milliseconds delay{0};
  bool first = true;  // of this keeper's end: told once
  std::weak_ptr<Networks::HeldBack> held;
  while (!context.closing) {
    const auto begin = Clock::now();
    const auto keeper = read_keeper(context.config.exec_root);
    auto process = keeper ? Pidfd::open(*keeper) : Result<Pidfd>(fail(Errc::not_found, ""));
    if (process && !process->ended()) {
      first = true;
      const auto ended = co_await wait_readable(context.io, process->fd());
      if (!ended) co_return;  // we end first
    }
    if (context.closing) co_return;
    if (keeper) reap(keeper->pid);
    if (first) log::error("keeper ended, another one is started pid={}", keeper ? keeper->pid : 0);
    if (Clock::now() - begin > kLongLife) delay = milliseconds{0};
    if (delay.count() > 0) co_await sleep_for(context.io, delay);
    if (context.closing) co_return;
    auto holding = held.lock();
    if (!holding) holding = std::make_shared<Networks::HeldBack>(networks);
    held = holding;
    const bool replaced =
        co_await replace_once(context, networks, heritage, first, std::move(holding));
    delay = std::clamp(delay * 2, kFirstDelay, replaced ? kLongestDelay : kLongestRetry);
    first = false;
    if (!replaced) continue;
    const auto next = read_keeper(context.config.exec_root);
    log::info("keeper replaced pid={}", next ? next->pid : 0);
  }
}

}  // namespace coracle
