// Starts coracle-keeper, and has it tell when it is published. The messages are in protocol.hpp.
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/result.hpp"
#include "engine/rootless/keeper.hpp"

namespace coracle::rootless {

// One that makes its namespaces. When newuidmap or newgidmap refuses, a map may be half written,
// and a map is written once: that keeper is dropped, and another one started with one id. Returns
// the control socket; while it is open the keeper waits for us.
Result<UniqueFd> start_keeper(const std::string& exec_root);
// One that takes over the namespaces that the calling process is in.
Result<UniqueFd> start_adopting_keeper(const std::string& exec_root, const Heritage& heritage);

// A message, for which the other side has so much time.
Result<Message> receive_within(const UniqueFd& socket, int limit_ms);
constexpr int kAnswer_ms = 10'000;

}  // namespace coracle::rootless
