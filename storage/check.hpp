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

// An image that is damaged, and what registries have it under (canonical names).
struct LostImage {
  std::string id, manifest;          // digests
  std::vector<std::string> names;    // "docker.io/library/alpine:3"
  std::vector<std::string> digests;  // "docker.io/library/alpine@sha256:…"
};

struct Checked {
  std::vector<Finding> findings;
  std::vector<LostImage> lost;
};

struct CheckOptions {
  std::string root;        // of the store
  std::string volumes;     // where they lie (storage::Config)
  std::string aside;       // where --repair moves things; made when needed
  bool repair = false;     // no daemon may run
  bool will_pull = false;  // what is known from a registry stays where it is: Checked::lost
  bool deep = false;       // every blob is read and hashed, not only the small ones
  // In the keeper's namespaces: with `deep`, each layer's directory is compared with its blob.
  bool in_namespaces = false;
  bool one_id = false;   // as the store's
  bool running = false;  // a daemon uses the store: what is under way is left out
  // By container id: the volumes it names.
  std::map<std::string, std::vector<std::string>> containers;
};

//   errors  the store's folders cannot be read
Result<Checked> check(const CheckOptions& options);

// Moves `path` to aside/KIND-NAME.RANDOM. The new path.
Result<std::string> move_aside(const std::string& path, const std::string& aside,
                               const std::string& kind, const std::string& name);

}  // namespace coracle::storage
