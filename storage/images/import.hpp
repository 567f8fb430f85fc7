// `docker import`: a file system's tar becomes an image of one layer. Blocking: for worker threads.
#pragma once

#include "engine/base/result.hpp"
#include "storage/images/image.hpp"
#include "storage/images/load.hpp"

namespace coracle::storage {

// The bytes are kept as they come (gzip, zstd, plain; anything else inflated).
//   errors  invalid_argument (no tar; a change that is none), the stores'
//   stop    set: ends soon, with an error, and leaves nothing
Result<Image> import_image(ByteSource& source, const ImportOptions& options, Stores stores,
                           const StopFlag& stop);

}  // namespace coracle::storage
