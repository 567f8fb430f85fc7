// coracle-unpack, the program that reads hostile bytes for the daemon:
//
//   coracle-unpack inflate COMPRESSION   stdin: compressed bytes; stdout: what they hold
//   coracle-unpack unpack OPTIONS        stdin: a tar; kRoot: the directory that it goes into
//
// Both write an Outcome to kOutcome when they have come to their end, and read stdin to its end
// unless they fail. One that is killed, or ends without an outcome, has failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "storage/archive/unpack.hpp"

namespace coracle::storage::unpacker {

constexpr int kOutcome = 3;  // a pipe
constexpr int kRoot = 4;     // O_PATH is enough
constexpr std::size_t kMostOutcome = std::size_t{256} << 10;

struct Outcome {
  std::string error;  // the message; "": it went well
  std::string code;   // name_of(Errc)
  std::int32_t sys = 0;
  std::int64_t bytes = 0, entries = 0;  // of unpack
};
void describe(auto& field, Outcome& o) {
  field("error", o.error)("code", o.code)("sys", o.sys)("bytes", o.bytes)("entries", o.entries);
}

// UnpackOptions as they stand in argv.
struct Options {
  bool one_id = false, layer = true, keep_kinds = false;
  std::string at;
  std::optional<std::int64_t> uid, gid;
};
void describe(auto& field, Options& o) {
  field("one_id", o.one_id)("layer", o.layer)("keep_kinds", o.keep_kinds)("at", o.at)("uid", o.uid)(
      "gid", o.gid);
}

}  // namespace coracle::storage::unpacker
