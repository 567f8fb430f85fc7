// Platforms in words, and whether an image is for one.
#pragma once

#include <string>

#include "engine/base/result.hpp"
#include "storage/content/descriptor.hpp"
#include "storage/images/image.hpp"

namespace coracle::storage {

// "linux", "arm64", "linux/arm64", "linux/arm64/v8", in the words of containerd: what is alone must
// be a known system or architecture, the other is this host's. "": all of it this host's.
//   errors  invalid_argument
Result<Platform> parse_platform(const std::string& text);
// "linux/arm64/v8"
std::string platform_text(const Platform& platform);

// This host's, with `wanted`'s fields in place where they are given; in OCI's words (aarch64 is
// arm64; arm64's variant v8 is left out).
Platform resolve_platform(const Platform& wanted);

// How well what is for `has` serves where `wanted` (resolved) is asked for: 0 not at all, else more
// is better. A lower variant runs too.
int fitness(const Platform& has, const Platform& wanted);
// Whether an image may be taken where `wanted` was asked for. One that names no variant may be any.
bool serves(const Platform& has, const Platform& wanted);
// Whether it is the very platform.
bool is_same(const Platform& a, const Platform& b);

Platform platform_of(const Image& image);
// Whether the image, which was found as `name`, serves for `wanted`.
//   errors  not_found "image with reference X was found but its platform (…) does not match …"
Result<> check_platform(const Image& image, const std::string& name, const Platform& wanted);

}  // namespace coracle::storage
