// Keeps coracle-netstack running: starts it, notices its end, starts its successor and gives that
// the vault. It runs in the keeper's user namespace and in the host's network namespace.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "engine/rootless/vault.hpp"

namespace coracle::rootless {

using Clock = std::chrono::steady_clock;

// How long a successor waits after the n-th end in a row that came soon after its start: at once
// for none, then 100 ms, doubling, at most 10 s.
std::chrono::milliseconds restart_delay(unsigned quick_ends);

class Supervisor {
 public:
  //   lifeline  its read end: by it an orphaned netstack knows when to end. Outlives us
  Supervisor(std::string exec_root, UniqueFd bridge_netns, const UniqueFd& lifeline)
      : exec_root_(std::move(exec_root)),
        bridge_netns_(std::move(bridge_netns)),
        lifeline_(lifeline) {}

  // After a keeper that was killed: goes on with its netstack, which gets our vault and fills it,
  // so that nothing of the network is interrupted. One that does not answer is ended.
  void adopt(Clock::time_point now);

  // Starts netstack if it is due; a start that is not possible is logged and tried again later.
  void start_if_due(Clock::time_point now);
  // Netstack has ended: takes what is left in the vault's socket and plans the next start.
  void reap(Clock::time_point now);
  // The vault's socket is readable or writable.
  void serve_vault(bool readable, bool writable);
  // SIGTERM, two seconds, SIGKILL. No start follows.
  void stop();

  // When start_if_due wants to be called; nothing while netstack runs.
  [[nodiscard]] std::optional<Clock::time_point> due() const { return due_; }
  [[nodiscard]] const Pidfd& process() const { return process_; }
  [[nodiscard]] const Vault& vault() const { return vault_; }

 private:
  Result<> start();
  Result<> take_over(const UniqueFd& connection);
  void record() const;

  std::string exec_root_;
  UniqueFd bridge_netns_;
  const UniqueFd& lifeline_;
  Vault vault_;
  Pidfd process_;
  Clock::time_point started_{};
  std::optional<Clock::time_point> due_ = Clock::time_point{};  // at once
  unsigned quick_ends_ = 0;
  bool said_why_ = false;  // a start that cannot work is logged once
};

}  // namespace coracle::rootless
