#include "storage/images/import.hpp"

#include <utility>

#include "engine/base/ident.hpp"
#include "storage/images/config_change.hpp"

namespace coracle::storage {

Result<Image> import_image(ByteSource& source, const ImportOptions& options, Stores stores,
                           const StopFlag& stop) {
  ConfigFile config;
  CHECK(apply_changes(config.config, options.changes));
  LayerRequest request;
  request.stop = &stop;
  auto staged = stores.layers.stage(request, source);
  if (!staged) return std::unexpected(staged.error().within("import"));
  const auto pin = stores.layers.pins().take({staged->info.blob, staged->info.diff_id});
  TRY(const auto layer, stores.layers.commit(*std::move(staged), ""));

  const Platform platform = resolve_platform(options.platform);
  config.created = now();
  config.comment = options.message.empty() ? "Imported from " + options.source : options.message;
  config.os = platform.os;
  config.architecture = platform.architecture;
  config.variant = platform.variant;
  config.rootfs.diff_ids = {layer.diff_id};
  HistoryEntry history;
  history.created = config.created;
  history.comment = config.comment;
  config.history = {history};

  NewImage image;
  image.config = write_config(config);
  image.manifest = manifest_for(image.config, {layer});
  image.manifest_type = media::kOciManifest;
  if (options.tag) {
    image.names = {*options.tag};
    image.names[0].digest.clear();
    if (image.names[0].tag.empty()) image.names[0].tag = "latest";
  }
  CHECK(check_stop(stop));
  return stores.images.add(image);
}

}  // namespace coracle::storage
