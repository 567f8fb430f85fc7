// Looks through a store without opening it: are the files there that others name, and are they what
// their names say? And mends: what is damaged is moved aside (never deleted), so that a daemon
// starts with what is whole. Blocks; for `coracle check`, which runs without a loop.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle::storage {

struct Finding {
  std::string kind;    // blob, layer, image, writable-layer, volume, left-over; container, …
  std::string object;  // its name
  std::string reason, remedy;
  bool note = false;     // in order as it is: the next start of a daemon deals with it
  std::string mended{};  // what was done about it; "": nothing
};

struct CheckOptions {
  std::string root;      // of the store
  std::string volumes;   // where they lie (storage::Config)
  std::string aside;     // where --repair moves things; made when needed
  bool repair = false;   // no daemon may run
  bool deep = false;     // every blob is read and hashed, not only the small ones
  bool running = false;  // a daemon uses the store: what is under way is left out
  // By container id: the volumes it names.
  std::map<std::string, std::vector<std::string>> containers;
};

//   errors  the store's folders cannot be read
Result<std::vector<Finding>> check(const CheckOptions& options);

// Moves `path` to aside/KIND-NAME.RANDOM. The new path.
Result<std::string> move_aside(const std::string& path, const std::string& aside,
                               const std::string& kind, const std::string& name);

}  // namespace coracle::storage
