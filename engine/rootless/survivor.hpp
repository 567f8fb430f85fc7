// When the keeper was killed and no daemon lived to replace it: a container's monitor that lives on
// has its namespaces, and holds its lifeline.
#pragma once

#include <string>

#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"
#include "engine/rootless/keeper.hpp"

namespace coracle::rootless {

struct Survivor {
  Pidfd process;
  Heritage heritage;  // without the guests' listener, which has ended with its holders
};

// By keeper.json, which tells the lifeline, and the monitors' own records below `exec_root`.
//   errors  not_found: nobody lives
Result<Survivor> find_survivor(const std::string& exec_root);
// Enters its user and mount namespaces. For a process of one thread, outside of them.
Result<> join_survivor(const Survivor& survivor);

}  // namespace coracle::rootless
