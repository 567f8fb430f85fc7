// The keeper that holds our namespaces (engine/rootless) is no child of ours, and nothing replaces
// it while we live: only a coracled that begins outside of its namespaces can make new ones. So its
// end is told, in the log and in /info, with the remedy.
#pragma once

#include <string>

#include "engine/base/async.hpp"
#include "engine/base/process.hpp"

namespace coracle {

// Why there is no keeper, and what helps; "" while it lives.
std::string keeper_trouble(const std::string& exec_root);
// Logs its end, once.
Coro<void> watch_keeper(asio::io_context& io, std::string exec_root);
// Does this process (a monitor) live in a user namespace that is not ours? Then an earlier
// keeper's.
bool of_another_keeper(const ProcessIdentity& who);

}  // namespace coracle
