// `docker commit`: the changes of a writable layer become a layer, and with the image below it a
// new image. The tar is written by one thread while it is hashed, kept as the blob and unpacked by
// others (LayerStore::stage), so that each file is read once. Blocking, and as long as the layer is
// large: for a thread of its own.
#pragma once

#include <atomic>
#include <string>

#include "engine/base/result.hpp"
#include "storage/images/load.hpp"
#include "storage/snapshots/diff.hpp"

namespace coracle::storage {

//   parent  the image that the layer stands on; its layers are pinned by the caller. One that was
//           removed by force meanwhile: not_found
//   stop    once it is set nothing is kept: unavailable
Result<Image> commit_image(const DiffSource& source, const std::string& parent,
                           const CommitOptions& options, Stores stores,
                           const std::atomic<bool>& stop);

}  // namespace coracle::storage
