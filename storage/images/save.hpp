// `docker save`: a tar that is OCI layout and docker-archive in one. Manifests, configurations and
// layers go out as they came, so every digest comes back the same; the lists stand first, so that a
// reader knows what follows. Blocking, by a client: for a
// thread of its own.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "storage/images/load.hpp"

namespace coracle::storage {

// names: as ImageStore::find() takes them. Ends soon after `stop` is set; `to` becomes
// non-blocking.
//   errors  not_found; those of write(2); unavailable (stopped)
Result<> save_images(const std::vector<std::string>& names, Stores stores, const UniqueFd& to,
                     const std::atomic<bool>& stop);

}  // namespace coracle::storage
