// Compiled filters on disk, one file a profile: <dir>/<hash of the key>.bpf
//   "CORABPF1" · u32 flags · u32 instructions · u64 length of the key · u64 check sum of all that
//   follows · the key (the resolved profile as JSON, and the library's version) · the instructions
// The whole key is compared, so that two profiles with one hash are told apart. A damaged file, or
// one of another key, is as if there were none.
#pragma once

#include <optional>
#include <string>

#include "engine/runtime/seccomp.hpp"

namespace coracle::runtime {

std::optional<SeccompFilter> read_cached_filter(const std::string& dir, const std::string& key);
// Best effort: a cache that cannot be written is only slower.
void write_cached_filter(const std::string& dir, const std::string& key,
                         const SeccompFilter& filter);

}  // namespace coracle::runtime
