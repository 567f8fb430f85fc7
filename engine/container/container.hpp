// A container as the daemon holds it: what is saved (record.hpp), what it holds in its state, and
// who waits for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/container/layer_use.hpp"
#include "engine/container/monitor_link.hpp"
#include "engine/container/network_lease.hpp"
#include "engine/container/record.hpp"
#include "engine/container/state.hpp"
#include "engine/spec/oci.hpp"

namespace coracle {

class LogReader;
class WritableRoot;

// Created, exited, restarting, dead: nothing is held.
struct Idle {};
// Running: leaving it lets go of the monitor and detaches the network.
struct Running {
  std::shared_ptr<MonitorLink> monitor;
  NetworkLease network;
  monitor::Identity identity;
  std::shared_ptr<const oci::Spec> spec;  // without its seccomp filter; for exec
};

// An attached client from before the start: it goes with the monitor's `create`.
struct WaitingAttach {
  monitor::Attach attach;
  UniqueFd client;
};

// Somebody's wait.
struct Wait {
  Wait(asio::io_context& io, WaitCondition c) : condition(c), result(io) {}
  WaitCondition condition;
  OneShot<WaitResult> result;
};

struct Container {
  explicit Container(asio::io_context& io) : mutex(io), uses(io), changed(io) {}

  ContainerRecord record;
  StateRecord state;

  // Not saved:
  AsyncMutex mutex;                             // one operation a container at a time
  LayerUses uses;                               // work on its files, which holds no lock
  std::shared_ptr<WritableRoot> writable_root;  // shared by the copies into it while it rests
  std::variant<Idle, Running> held;
  Signal changed;                         // the status is another
  bool removing = false;                  // shown as `removing`; no operation begins any more
  bool kept_once = false;                 // restart of a --rm container: its end does not remove it
  std::string damage;                     // its files could not be read: which and why
  std::optional<ProcessIdentity> ending;  // the last run's monitor, taking down its mounts
  std::vector<WaitingAttach> attaching;
  std::vector<std::weak_ptr<Wait>> waits;
  std::vector<std::weak_ptr<LogReader>> followers;  // of its log; its end ends them
  std::vector<std::string> exec_ids;
  std::uint64_t restart_round = 0;  // a timer of an older round does nothing

  [[nodiscard]] const std::string& id() const { return record.id; }
  [[nodiscard]] const std::string& name() const { return record.name; }
  [[nodiscard]] Status status() const {
    if (removing) return Status::removing;
    return damage.empty() ? state.status : Status::dead;
  }
  [[nodiscard]] Running* running() { return std::get_if<Running>(&held); }
  [[nodiscard]] Result<> permits(Operation what) const {
    return permit(what, status(), record.id, record.name);
  }
  // Answers the waits for `condition` (and forgets those that are gone).
  void answer_waits(WaitCondition condition, const WaitResult& result);
};

using ContainerPtr = std::shared_ptr<Container>;

}  // namespace coracle
