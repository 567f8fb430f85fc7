#include "storage/images/save.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "engine/base/json.hpp"
#include "storage/archive/archive.hpp"
#include "storage/archive/peer_stream.hpp"
#include "storage/images/reference.hpp"

namespace coracle::storage {
namespace {

struct Saved {
  std::string id;
  std::string config, manifest, manifest_type;
  std::vector<Descriptor> layers;
  std::set<std::string> names;  // canonical
};

std::string blob_path(const std::string& digest) { return "blobs/sha256/" + hex_of(digest); }

// The image's manifest names blobs that are not here when its layers came with another image, in
// other bytes: then it is made anew of those. The image's id stays.
Result<Saved> gather(const std::string& id, Stores stores) {
  Saved out;
  out.id = id;
  TRY(const auto record, stores.images.record(id));
  TRY(const auto image, stores.images.by_id(id));
  TRY(out.config, stores.blobs.read(id));
  TRY(out.manifest, stores.blobs.read(record.manifest));
  out.manifest_type = record.manifest_type;
  TRY(const auto parsed, parse_manifest(out.manifest, out.manifest_type));
  const auto* manifest = std::get_if<Manifest>(&parsed);
  if (manifest == nullptr) return fail(Errc::internal, "image {}: its manifest is an index", id);
  out.layers = manifest->layers;
  if (std::ranges::all_of(out.layers,
                          [&](const Descriptor& d) { return stores.blobs.has(d.digest); }))
    return out;
  std::vector<LayerInfo> infos;
  for (const auto& chain : chain_ids(image.diff_ids)) {
    auto info = stores.layers.find(chain);
    if (!info) return fail(Errc::not_found, "image {}: layer {} is gone", id, chain);
    infos.push_back(*std::move(info));
  }
  out.manifest = manifest_for(out.config, infos);
  out.manifest_type = media::kOciManifest;
  TRY(const auto again, parse_manifest(out.manifest));
  out.layers = std::get<Manifest>(again).layers;
  return out;
}

// One image once, with all the names it was asked by.
Result<std::vector<Saved>> gather_all(const std::vector<std::string>& names, Stores stores) {
  std::vector<Saved> out;
  for (const auto& name : names) {
    TRY(const auto image, stores.images.find(name));
    auto at = std::ranges::find(out, image.id, &Saved::id);
    if (at == out.end()) {
      TRY(auto saved, gather(image.id, stores));
      out.push_back(std::move(saved));
      at = std::prev(out.end());
    }
    const auto reference = parse_reference(name, true);
    if (reference && reference->digest.empty() &&
        std::ranges::find(image.repo_tags, reference->familiar()) != image.repo_tags.end())
      at->names.insert(canonical(*reference));
  }
  return out;
}

Descriptor descriptor_of(const Saved& image) {
  Descriptor d;
  d.media_type = image.manifest_type;
  d.digest = sha256_of(image.manifest);
  d.size = static_cast<std::int64_t>(image.manifest.size());
  return d;
}

std::string index_json(const std::vector<Saved>& images) {
  Index index;
  index.media_type = media::kOciIndex;
  for (const auto& image : images) {
    if (image.names.empty()) index.manifests.push_back(descriptor_of(image));
    for (const auto& name : image.names) {
      auto d = descriptor_of(image);
      d.annotations = {{"io.containerd.image.name", name},
                       {"org.opencontainers.image.ref.name", name.substr(name.rfind(':') + 1)}};
      index.manifests.push_back(std::move(d));
    }
  }
  return json::to_text(index);
}

// As Docker: by diff id, what stands for it.
boost::json::object layer_sources(const Saved& image) {
  boost::json::object out;
  const auto config = parse_config(image.config);
  if (!config || config->rootfs.diff_ids.size() != image.layers.size()) return out;
  for (std::size_t i = 0; i < image.layers.size(); ++i) {
    Descriptor d;
    d.media_type = image.layers[i].media_type;
    d.digest = image.layers[i].digest;
    d.size = image.layers[i].size;
    out[config->rootfs.diff_ids[i]] = json::to_json(d);
  }
  return out;
}

std::string manifest_json(const std::vector<Saved>& images) {
  boost::json::array list;
  for (const auto& image : images) {
    boost::json::array tags;
    boost::json::array layers;
    for (const auto& name : image.names) {
      const auto reference = from_canonical(name);
      tags.emplace_back(reference ? reference->familiar() : name);
    }
    for (const auto& layer : image.layers) layers.emplace_back(blob_path(layer.digest));
    boost::json::object one;
    one["Config"] = blob_path(image.id);
    one["RepoTags"] = std::move(tags);
    one["Layers"] = std::move(layers);
    one["LayerSources"] = layer_sources(image);
    list.emplace_back(std::move(one));
  }
  return json::serialize(list);
}

std::string repositories_json(const std::vector<Saved>& images) {
  std::map<std::string, std::map<std::string, std::string>> repositories;
  for (const auto& image : images) {
    for (const auto& name : image.names) {
      if (const auto reference = from_canonical(name))
        repositories[reference->familiar_name()][reference->tag] = hex_of(image.id);
    }
  }
  return json::to_text(repositories);
}

}  // namespace

Result<> save_images(const std::vector<std::string>& names, Stores stores, const UniqueFd& to,
                     const std::atomic<bool>& stop) {
  const auto all = gather_all(names, stores);
  if (!all) return std::unexpected(all.error());
  std::vector<std::string> keys;
  for (const auto& image : *all) {
    keys.push_back(image.id);
    for (const auto& layer : image.layers) keys.push_back(layer.digest);
  }
  const auto pin = stores.layers.pins().take(keys);
  TRY(auto sink, peer_sink(to, stop));
  ArchiveWriter tar(std::move(sink));
  CHECK(tar.file("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  CHECK(tar.file("index.json", index_json(*all)));
  CHECK(tar.file("manifest.json", manifest_json(*all)));
  if (const auto text = repositories_json(*all); text != "{}")
    CHECK(tar.file("repositories", text));
  CHECK(tar.directory("blobs"));
  CHECK(tar.directory("blobs/sha256"));
  std::set<std::string> written;
  for (const auto& image : *all) {
    const auto manifest_digest = sha256_of(image.manifest);
    if (written.insert(manifest_digest).second)
      CHECK(tar.file(blob_path(manifest_digest), image.manifest));
    if (written.insert(image.id).second) CHECK(tar.file(blob_path(image.id), image.config));
    for (const auto& layer : image.layers) {
      if (!written.insert(layer.digest).second) continue;
      TRY(const auto size, stores.blobs.size(layer.digest));
      TRY(const auto fd, stores.blobs.open(layer.digest));
      CHECK(tar.file(blob_path(layer.digest), fd, size));
    }
  }
  return tar.finish();
}

}  // namespace coracle::storage
