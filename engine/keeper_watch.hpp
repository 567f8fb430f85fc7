// The keeper that holds our namespaces (engine/rootless): when it is killed, another one is started
// inside of them and takes its place, so that containers, their network and later ones notice
// nothing. While that does not succeed, the log and /info say so, and it is tried again.
#pragma once

#include <string>

#include "engine/base/async/async.hpp"
#include "engine/base/process/process.hpp"

namespace coracle {

struct Context;
class Networks;

// Why there is no keeper, and what follows; "" while it lives.
std::string keeper_trouble(const std::string& exec_root);
// Replaces it whenever it has ended, until we end.
Coro<void> watch_keeper(Context& context, Networks& networks);

}  // namespace coracle
