// What no image and no writable layer reaches goes: layers first, then blobs. Runs after a removal
// and at start.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "storage/content/blob_store.hpp"
#include "storage/content/pins.hpp"
#include "storage/snapshots/layer_store.hpp"

namespace coracle::storage {

struct Swept {
  std::vector<std::string> layers;  // chain ids
  std::vector<std::string> blobs;   // digests
};

// Pure: which layers and blobs no root reaches. A layer that stays keeps its own blob.
//   roots  digests and chain ids, of images and writable layers
Swept unreachable(const std::set<std::string>& roots, const std::vector<LayerInfo>& layers,
                  const std::vector<std::string>& blobs);

// Moves `garbage` into the trash but for what is pinned; `pins` has begun its sweep before the
// roots were read. Returns what went.   errors  the first one, after all have been tried
Result<Swept> sweep(const Swept& garbage, LayerStore& layers, BlobStore& blobs, Pins& pins);

}  // namespace coracle::storage
