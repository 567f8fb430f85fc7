#include "storage/images/manifest.hpp"

#include <algorithm>

#include "engine/base/json.hpp"
#include "storage/content/digest.hpp"

namespace coracle::storage {
namespace {

constexpr std::size_t kMostLayers = 125;  // Docker's; each takes memory, and a place in the mount

Result<> check_descriptor(const Descriptor& d, const char* what) {
  if (!is_digest(d.digest)) {
    return fail(Errc::invalid_argument, "manifest: {}: \"{}\" is no sha256 digest", what,
                d.digest.substr(0, 100));
  }
  if (d.size < 0) return fail(Errc::invalid_argument, "manifest: {}: negative size", what);
  return {};
}

Result<Manifest> check_manifest(Manifest m) {
  const auto& type = m.config.media_type;
  if (type != media::kOciConfig && type != media::kDockerConfig) {
    return fail(Errc::unsupported, "manifest: its configuration is of the type \"{}\": no image",
                type);
  }
  CHECK(check_descriptor(m.config, "config"));
  if (m.layers.size() > kMostLayers) {
    return fail(Errc::invalid_argument, "manifest: max depth exceeded: {} layers, {} are possible",
                m.layers.size(), kMostLayers);
  }
  for (const auto& layer : m.layers) CHECK(check_descriptor(layer, "layer"));
  return m;
}

Result<Index> check_index(Index index) {
  for (const auto& m : index.manifests) CHECK(check_descriptor(m, "manifests"));
  return index;
}

}  // namespace

Result<std::variant<Manifest, Index>> parse_manifest(std::string_view bytes,
                                                     std::string_view content_type) {
  auto value = json::parse(bytes);
  if (!value) return std::unexpected(value.error().within("manifest"));
  if (!value->is_object()) return fail(Errc::invalid_argument, "manifest: expected an object");
  const auto& object = value->get_object();
  const bool lists = object.contains("manifests");
  const bool layered = object.contains("layers") || object.contains("config");
  // Whoever sees one and whoever sees the other would see two images. See GHSA-77vh-xpmg-72qh.
  if (lists && layered)
    return fail(Errc::invalid_argument, "manifest: it is both an index and a manifest");
  const auto* version = object.if_contains("schemaVersion");
  if (version != nullptr && version->is_int64() && version->get_int64() == 1) {
    return fail(Errc::unsupported,
                "manifest: Docker image manifest version 2, schema 1 is not supported; push the "
                "image again with a newer client");
  }
  std::string type(content_type.substr(0, content_type.find(';')));
  if (const auto* own = object.if_contains("mediaType"); own != nullptr && own->is_string())
    type = std::string(own->get_string());
  const bool says_index = type == media::kOciIndex || type == media::kDockerList;
  const bool says_manifest = type == media::kOciManifest || type == media::kDockerManifest;
  if ((says_index && !lists) || (says_manifest && lists) || (!lists && !layered)) {
    return fail(Errc::invalid_argument, "manifest: its content is not of its type \"{}\"", type);
  }
  if (lists) {
    auto index = json::from_json<Index>(*value);
    if (!index) return std::unexpected(index.error().within("manifest"));
    if (index->media_type.empty()) index->media_type = says_index ? type : media::kOciIndex;
    TRY(auto checked, check_index(*std::move(index)));
    return checked;
  }
  auto manifest = json::from_json<Manifest>(*value);
  if (!manifest) return std::unexpected(manifest.error().within("manifest"));
  if (manifest->media_type.empty())
    manifest->media_type = says_manifest ? type : media::kOciManifest;
  TRY(auto checked, check_manifest(*std::move(manifest)));
  return checked;
}

Result<Descriptor> choose(const Index& index, const Platform& platform) {
  const Descriptor* best = nullptr;
  int most = 0;
  for (const auto& entry : index.manifests) {
    // An entry without a platform serves any; one that says which is better.
    const int fits = entry.platform ? fitness(*entry.platform, platform) : 1;
    if (fits > most) {
      best = &entry;
      most = fits;
    }
  }
  if (best == nullptr) {
    return fail(Errc::not_found, "no matching manifest for {} in the manifest list entries",
                platform_text(platform));
  }
  return *best;
}

Result<ConfigFile> parse_config(std::string_view bytes) {
  auto config = json::from_text<ConfigFile>(bytes);
  if (!config) return std::unexpected(config.error().within("image configuration"));
  for (const auto& diff_id : config->rootfs.diff_ids) {
    if (!is_digest(diff_id)) {
      return fail(Errc::invalid_argument,
                  "image configuration: rootfs.diff_ids: \"{}\" is no sha256 digest",
                  diff_id.substr(0, 100));
    }
  }
  return config;
}

namespace {

bool says_nothing(const json::Value& v) {
  if (v.is_null()) return true;
  if (v.is_string()) return v.get_string().empty();
  if (v.is_array()) return v.get_array().empty();
  if (v.is_object()) return v.get_object().empty();
  return false;
}

void drop_empty(boost::json::object& object) {
  for (auto i = object.begin(); i != object.end();) {
    if (says_nothing(i->value()) || (i->value().is_bool() && !i->value().get_bool()))
      i = object.erase(i);
    else
      ++i;
  }
}

}  // namespace

std::string write_config(const ConfigFile& config) {
  auto value = json::to_json(config);
  auto& object = value.get_object();
  drop_empty(object["config"].get_object());
  for (auto& entry : object["history"].get_array()) drop_empty(entry.get_object());
  const auto inner = object["config"];
  drop_empty(object);
  object["config"] = inner;  // an image without one is refused by some readers
  return json::serialize(value);
}

}  // namespace coracle::storage
