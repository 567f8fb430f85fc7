// Image names by Docker's grammar: [domain/]path[:tag][@digest].
#pragma once

#include <string>

#include "engine/base/result.hpp"

namespace coracle::storage {

// An image name, taken apart. Familiar: "alpine" -> domain "docker.io", path "library/alpine", tag
// "latest".
struct Reference {
  std::string domain, path, tag, digest;            // tag or digest may be empty
  [[nodiscard]] std::string familiar_name() const;  // "alpine", "127.0.0.1:5000/x"
  [[nodiscard]] std::string familiar() const;       // with ":tag" or "@digest"
};
// errors: invalid_argument "invalid reference format" (with Docker's reasons)
//   add_latest  gives a name without tag and digest the tag "latest"
Result<Reference> parse_reference(const std::string& text, bool add_latest);

// The name that a tag, commit or import gives: with "latest" where there is no tag.
//   errors  as parse_reference(); invalid_argument: a digest, or what check_ambiguous() refuses
Result<Reference> parse_tag(const std::string& repository, const std::string& tag);
// "sha256:x" would read as an image's id.   errors  invalid_argument
Result<> check_ambiguous(const Reference& name);

constexpr const char* kDefaultDomain = "docker.io";
constexpr const char* kDefaultTag = "latest";

// "docker.io/library/alpine:3": domain, path, and ":tag" or "@digest". As names are stored.
std::string canonical(const Reference& reference);
// The reverse, for what canonical() wrote.
Result<Reference> from_canonical(const std::string& text);
// "docker.io/library/alpine"
std::string canonical_name(const Reference& reference);

}  // namespace coracle::storage
