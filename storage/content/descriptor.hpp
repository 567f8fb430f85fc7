// Content by its digest (OCI image-spec), and the machines it is for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coracle::storage {

namespace media {
constexpr const char* kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr const char* kOciConfig = "application/vnd.oci.image.config.v1+json";
constexpr const char* kOciLayer = "application/vnd.oci.image.layer.v1.tar";
constexpr const char* kOciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
constexpr const char* kOciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
constexpr const char* kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr const char* kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr const char* kDockerConfig = "application/vnd.docker.container.image.v1+json";
constexpr const char* kDockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
// What its owner alone hands out: it is not pushed, and may be somewhere else than in the registry.
constexpr std::string_view kOciForeign = "application/vnd.oci.image.layer.nondistributable.v1.tar";
constexpr std::string_view kDockerForeign = "application/vnd.docker.image.rootfs.foreign.diff.tar";
}  // namespace media

struct Platform {
  std::string os, architecture, variant;  // "" = this host's
};
void describe(auto& field, Platform& p) {
  field("architecture", p.architecture)("os", p.os)("variant", p.variant);
}

struct Descriptor {
  std::string media_type, digest;
  std::int64_t size = 0;
  std::optional<Platform> platform;
  std::optional<std::map<std::string, std::string>> annotations;
  std::optional<std::vector<std::string>> urls;  // of a foreign layer
};
void describe(auto& field, Descriptor& d) {
  field("mediaType", d.media_type)("digest", d.digest)("size", d.size)("platform", d.platform)(
      "annotations", d.annotations)("urls", d.urls);
}
inline bool is_foreign(const Descriptor& layer) {
  return layer.media_type.starts_with(media::kOciForeign) ||
         layer.media_type.starts_with(media::kDockerForeign);
}

}  // namespace coracle::storage
