// What registries and archives say about an image: manifests (one platform), indexes (several), and
// configurations; OCI image-spec and Docker schema 2, which differ in media types only. The bytes
// as received are what is stored and named by digest; these structs are views of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/base/result.hpp"
#include "storage/content/descriptor.hpp"
#include "storage/images/image.hpp"
#include "storage/images/platform.hpp"

namespace coracle::storage {

struct Manifest {
  int schema_version = 2;
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first
};
void describe(auto& field, Manifest& m) {
  field("schemaVersion", m.schema_version)("mediaType", m.media_type)("config", m.config)("layers",
                                                                                          m.layers);
}

struct Index {
  int schema_version = 2;
  std::string media_type;
  std::vector<Descriptor> manifests;
};
void describe(auto& field, Index& i) {
  field("schemaVersion", i.schema_version)("mediaType", i.media_type)("manifests", i.manifests);
}

// `content_type` is the registry's header, "" when there is none: then mediaType, then the shape
// decide. Every digest in it is checked to be one.
//   errors  invalid_argument; unsupported (schema 1; an artifact that is no image)
Result<std::variant<Manifest, Index>> parse_manifest(std::string_view bytes,
                                                     std::string_view content_type = "");

// The best entry of an index: same os and architecture, the highest variant that runs here.
//   platform  resolved (platform.hpp)
//   errors  not_found "no matching manifest for linux/arm64 in the manifest list entries"
Result<Descriptor> choose(const Index& index, const Platform& platform);

// An image's configuration file.
struct ConfigFile {
  Time created;
  std::string author, comment, architecture, variant, os;
  ImageConfig config;
  struct RootFs {
    std::string type = "layers";
    std::vector<std::string> diff_ids;
  } rootfs;
  std::vector<HistoryEntry> history;
};
void describe(auto& field, ConfigFile::RootFs& r) { field("type", r.type)("diff_ids", r.diff_ids); }
void describe(auto& field, ConfigFile& c) {
  field("created", c.created)("author", c.author)("comment", c.comment)(
      "architecture", c.architecture)("variant", c.variant)("os", c.os)("config", c.config)(
      "rootfs", c.rootfs)("history", c.history);
}
// errors: invalid_argument
Result<ConfigFile> parse_config(std::string_view bytes);
// The text of a configuration that we make ourselves (import, commit): what is empty is left out.
std::string write_config(const ConfigFile& config);

}  // namespace coracle::storage
