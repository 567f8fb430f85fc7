// Content by its digest (OCI image-spec), and the machines it is for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "engine/base/json.hpp"

namespace coracle::storage {

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
};
void describe(auto& field, Descriptor& d) {
  field("mediaType", d.media_type)("digest", d.digest)("size", d.size)("platform", d.platform)(
      "annotations", d.annotations);
}

}  // namespace coracle::storage
