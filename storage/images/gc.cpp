#include "storage/images/gc.hpp"

namespace coracle::storage {

Swept unreachable(const std::set<std::string>& roots, const std::vector<LayerInfo>& layers,
                  const std::vector<std::string>& blobs) {
  Swept out;
  std::set<std::string> kept_blobs;
  for (const auto& layer : layers) {
    if (roots.contains(layer.chain_id))
      kept_blobs.insert(layer.blob);
    else
      out.layers.push_back(layer.chain_id);
  }
  for (const auto& blob : blobs) {
    if (!roots.contains(blob) && !kept_blobs.contains(blob)) out.blobs.push_back(blob);
  }
  return out;
}

Result<Swept> sweep(const Swept& garbage, LayerStore& layers, BlobStore& blobs, Pins& pins) {
  Swept out;
  Result<> first;
  const auto note = [&](Result<> done, std::vector<std::string>& list, const std::string& key) {
    if (done)
      list.push_back(key);
    else if (first)
      first = std::move(done);
  };
  for (const auto& layer : garbage.layers)
    pins.unless_pinned(layer, [&] { note(layers.remove(layer), out.layers, layer); });
  for (const auto& blob : garbage.blobs)
    pins.unless_pinned(blob, [&] { note(blobs.remove(blob), out.blobs, blob); });
  if (!first) return std::unexpected(first.error());
  return out;
}

}  // namespace coracle::storage
