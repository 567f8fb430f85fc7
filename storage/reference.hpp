// Image names by Docker's grammar: [domain/]path[:tag][@digest]. The value type Reference and
// parse_reference() stand in the face, storage/storage.hpp; here is what storage itself needs.
#pragma once

#include <string>

#include "engine/base/result.hpp"
#include "storage/storage.hpp"

namespace coracle::storage {

constexpr const char* kDefaultDomain = "docker.io";
constexpr const char* kDefaultTag = "latest";

// "docker.io/library/alpine:3": domain, path, and ":tag" or "@digest". As names are stored.
std::string canonical(const Reference& reference);
// The reverse, for what canonical() wrote.
Result<Reference> from_canonical(const std::string& text);
// "docker.io/library/alpine"
std::string canonical_name(const Reference& reference);

}  // namespace coracle::storage
