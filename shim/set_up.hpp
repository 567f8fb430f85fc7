// What the daemon and the commands that work without one begin with.
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/engine.hpp"
#include "engine/rootless/keeper.hpp"
#include "shim/config.hpp"

namespace coracle {

// One daemon a root: the lock lives as long as its descriptor, and the file tells whose it is.
//   what    "data-root", "exec-root"
//   errors  conflict, with the other's pid and the remedy
Result<UniqueFd> lock_root(const std::string& root, const char* what);

EngineConfig engine_config(const shim::DaemonConfig& config, rootless::Entered entered);

// What is given goes before the environment's own, under both names: programs differ in which they
// read. Before there is a second thread.
void set_proxies(const shim::Proxies& proxies);

}  // namespace coracle
