// Where bytes come from, one piece after the other: a pipe, a download, an entry of an archive, or
// another source inflated.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

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
