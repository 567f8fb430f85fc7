// What coracled and its keeper tell each other, over base/ipc/channel.
//
// At the start, on a socket pair (--control-fd); either end closing it early ends the attempt:
//   keeper                                 coracled
//   {stage: unshared}                  ->                    its user namespace exists, without maps
//                                      <-  {one_id, warnings} the maps are written
//   {stage: ready}                     ->                    keeper.json and keeper.sock are there
//   {error}                            ->                    in place of either: why not
// Afterwards, on <exec-root>/keeper.sock, for that coracled and all later ones:
//                                      <-  {op: enter, version}
//   {version, one_id, warnings} + fds  ->                    user and mount namespace, lifeline;
//                                                            from version 2 on: the guests'
//                                                            listener
// From a monitor, from version 3 on:
//                                      <-  {op: watch, version} + fds: a pidfd of its container's
//                                          first process, and where that has no pid namespace of
//                                          its own, its other namespaces. No answer; {error} from a
//                                          keeper that does not know it
//                                      <-  {op: done}: the container has ended. The connection's
//                                          end without it: the monitor was killed (rootless/wards)
// Another keeper, when one was killed and somebody of its namespaces lives: started inside of them
// with `--namespaces adopt`, it makes none, and speaks second:
//   coracled                               keeper
//   {one_id, warnings} + fds           ->                    a write end of the lifeline; the
//                                                            guests' listener, if it is still there
//                                      <-  {stage: ready} or {error}
// The guests' listener is the API's socket for containers that bind it: made once by the keeper, so
// that a bind of it outlives every daemon. Its mode lets any id of a container connect, which gets
// the file alone, by its bind; on the host only the user gets to it, since it lies in a folder of
// its own with mode 0700. While no daemon runs, guests wait.
//
// <exec-root>/keeper.lock (flock) is held by a coracled from its look at keeper.json until it has
// entered, and by the keeper from its decision to end until it has ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ipc/message.hpp"
#include "engine/base/process/process.hpp"

namespace coracle::rootless {

constexpr std::int32_t kKeeperVersion = 3;
constexpr const char* kKeeperProgram = "coracle-keeper";
constexpr const char* kRecordName = "keeper.json";
constexpr const char* kSocketName = "keeper.sock";
constexpr const char* kGuestFolder = "guest";  // 0700
constexpr const char* kGuestSocketFile = "guest.sock";
constexpr const char* kGuestSocketName = "guest/guest.sock";
constexpr const char* kGuestSocketBefore3 = "guest.sock";  // where a keeper of version 2 has it
constexpr const char* kLockName = "keeper.lock";
constexpr const char* kNetstackRecordName = "netstack.json";  // the ProcessIdentity of netstack

// The bridge's network namespace, bound there in the keeper's mount namespace: it lives as long as
// that, whoever is killed, and the next keeper finds it.
constexpr const char* kBridgeName = "bridge.net";

struct StepError {
  std::string step;
  std::int32_t sys = 0;
  std::string message;  // whole already; empty when `step` and `sys` tell it
};
void describe(auto& field, StepError& e) {
  field("step", e.step)("sys", e.sys)("message", e.message);
}

struct Progress {
  std::string stage;  // unshared, ready
  std::optional<StepError> error;
};
void describe(auto& field, Progress& p) { field("stage", p.stage)("error", p.error); }

struct MapsWritten {
  bool one_id = false;
  std::vector<std::string> warnings;
};
void describe(auto& field, MapsWritten& m) { field("one_id", m.one_id)("warnings", m.warnings); }

// keeper.json
struct KeeperRecord {
  ProcessIdentity identity;
  std::int32_t version = 0;
  // For the keeper after one that was killed:
  std::uint64_t lifeline = 0;  // inode of the pipe: by it one finds who holds it. 0: not told
  MapsWritten maps;
};
void describe(auto& field, KeeperRecord& k) {
  field("identity", k.identity)("version", k.version)("lifeline", k.lifeline)("maps", k.maps);
}

// What is asked of the keeper on keeper.sock.
namespace op {
struct Enter {
  static constexpr const char* kOp = "enter";
};
void describe(auto& /*field*/, Enter& /*op*/) {}
struct Watch {
  static constexpr const char* kOp = "watch";
};
void describe(auto& /*field*/, Watch& /*op*/) {}
struct Done {
  static constexpr const char* kOp = "done";
};
void describe(auto& /*field*/, Done& /*op*/) {}
}  // namespace op
using KeeperRequest = message::Request<kKeeperVersion, op::Enter, op::Watch, op::Done>;

struct EnterReply {
  std::int32_t version = kKeeperVersion;
  bool one_id = false;
  std::vector<std::string> warnings;
  std::string error;  // then there are no descriptors
};
void describe(auto& field, EnterReply& r) {
  field("version", r.version)("one_id", r.one_id)("warnings", r.warnings)("error", r.error);
}

}  // namespace coracle::rootless
