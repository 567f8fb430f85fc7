// `docker load`: an archive of images, docker-archive or OCI layout or both, becomes images.
// Everything streams: a layer is unpacked while the archive arrives, whatever the order of the
// archive's files, and gets its place once the archive has said whose it is. Nothing is held in
// memory but manifests and configurations. Blocking: for worker threads.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/content/byte_source.hpp"
#include "storage/images/store.hpp"

namespace coracle::storage {

struct Stores {
  BlobStore& blobs;
  LayerStore& layers;
  ImageStore& images;
};

// The manifest of an image that came without one, from its configuration and its layers.
std::string manifest_for(const std::string& config, const std::vector<LayerInfo>& layers);

// `told` is called with "Loaded image: x:1\n" as images become known.
//   wanted  images of other platforms are passed over
//   stop    set: ends soon, with an error; no image appears that was not told of before
//   errors  invalid_argument (no archive of images, damaged, beyond its bounds), the stores';
//           images that were complete before stay
Result<std::vector<Image>> load_images(ByteSource& source, Stores stores, const StopFlag& stop,
                                       const std::function<void(const std::string&)>& told,
                                       const std::optional<Platform>& wanted = std::nullopt);

}  // namespace coracle::storage
