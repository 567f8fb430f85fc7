// docker top: the host's ps, run as the daemon's user, and of its rows the container's.
#pragma once

#include <set>

#include "engine/face/stats.hpp"
#include "engine/inspect/processes.hpp"

namespace coracle {

//   ps_args  "" is -ef
//   errors   conflict (not running); invalid_argument; internal, in ps's own words
Task<ProcessList> list_processes(Context& context, ContainerPtr container, std::string ps_args);

// The rows of `pids` in what ps printed. A row with "-" as its PID is of the process above it.
//   errors  internal, Docker's texts
Result<ProcessList> parse_ps(const std::string& output, const std::set<pid_t>& pids);

}  // namespace coracle
