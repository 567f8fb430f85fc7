// A coracle-monitor that has started up and waits to be copied: a copy costs a third of an exec,
// and the engine's loop does not stand still for it.
//
//   engine                                  spawner
//   {} + control socket                 ->  clones itself; the copy is a child of the engine and
//                                           serves that socket as one started by --control-fd does
//                                       <-  on that socket, before all else: {event:born, pid}, or
//                                           {event:born, error}, and the socket is closed
//
// It ends with the engine's end of the connection. It holds nothing of any container.
#pragma once

#include <optional>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::monitor {

// Serves `requests`. Returns once in each copy, with its control socket; and in the spawner itself,
// with nothing, when the engine has gone.
Result<std::optional<UniqueFd>> serve_copies(UniqueFd requests);

}  // namespace coracle::monitor
