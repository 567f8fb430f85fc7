// `docker commit`: the changes of a writable layer become a layer, and with the image below it a
// new image. The tar is written by one thread while it is hashed, kept as the blob and unpacked by
// others (LayerStore::stage), so that each file is read once. Blocking: for worker threads.
#pragma once

#include <string>

#include "engine/base/result.hpp"
#include "storage/diff.hpp"
#include "storage/image_load.hpp"

namespace coracle::storage {

//   parent  the image that the layer stands on; its layers are pinned by the caller. One that was
//           removed by force meanwhile: not_found
Result<Image> commit_image(const DiffSource& source, const std::string& parent,
                           const CommitOptions& options, Stores stores);

}  // namespace coracle::storage
