// Where bytes come from, one piece after the other: a pipe, a download, an entry of an archive, or
// another source inflated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::storage {

// read() blocks; 0 is the end. One thread at a time, not always the same.
class ByteSource {
 public:
  ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;
  virtual ~ByteSource() = default;
  virtual Result<std::size_t> read(std::span<char> into) = 0;
};

// A descriptor, blocking or not.
class FdSource final : public ByteSource {
 public:
  explicit FdSource(const UniqueFd& fd) : fd_(fd) {}
  Result<std::size_t> read(std::span<char> into) override;

 private:
  const UniqueFd& fd_;
};

// The error of a body that did not come to its end (shim/http/call.hpp): invalid_argument,
// ECONNRESET.
std::unexpected<Error> cut_short();
// The error of work that was told to stop, since nobody waits for its result: unavailable.
std::unexpected<Error> was_stopped();
inline Result<> check_stop(const StopFlag& stop) {
  if (stop) return was_stopped();
  return {};
}

// Passes bytes on until `stop` is set: for sources that make many of few (inflated()).
class StoppableSource final : public ByteSource {
 public:
  StoppableSource(ByteSource& from, const StopFlag& stop) : from_(from), stop_(stop) {}
  Result<std::size_t> read(std::span<char> into) override {
    CHECK(check_stop(stop_));
    return from_.read(into);
  }

 private:
  ByteSource& from_;
  const StopFlag& stop_;
};

// Reads and drops what is left: an error that waits there is an answer, too.
Result<> drain(ByteSource& source);

enum class Compression : std::uint8_t { none, gzip, zstd, other };
// By the first bytes. "other": xz, bzip2, lz4, which layers of registries never have.
Compression compression_of(std::string_view head);

// Fills `into` as far as the source goes: less only at its end.
Result<std::size_t> read_full(ByteSource& source, std::span<char> into);

// What `from` gives, after `head` (bytes that were read off it already).
std::unique_ptr<ByteSource> joined(std::string_view head, ByteSource& from);

// What `from` gives, inflated: all members of a gzip, all frames of a zstd. Something behind the
// last one that is neither is not read.   errors  invalid_argument: damaged or truncated
Result<std::unique_ptr<ByteSource>> inflated(ByteSource& from, Compression compression);

}  // namespace coracle::storage
