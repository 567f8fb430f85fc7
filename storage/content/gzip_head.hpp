// The head of a gzip member (RFC 1952, 2.3), which may come in pieces of any size: ten bytes, then
// the optional parts that the flags name, in this order: extra, name, comment, checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/base/result.hpp"

namespace coracle::storage {

class GzipHead {
 public:
  // Takes what of `bytes` belongs to the head, and says how much that was: less than all of it only
  // when the head is done.   errors  invalid_argument: it is none, or is damaged
  Result<std::size_t> take(std::string_view bytes);
  [[nodiscard]] bool done() const { return part_ == Part::done; }

 private:
  enum class Part : std::uint8_t { fixed, extra_size, extra, name, comment, checksum, done };

  Result<std::size_t> take_part(std::string_view bytes);
  Result<> take_fixed(unsigned char byte);
  Result<> take_checksum(unsigned char byte);
  void next_part();
  [[nodiscard]] bool has(Part part) const;

  Part part_ = Part::fixed;
  std::uint8_t flags_ = 0;
  std::size_t at_ = 0;          // how much of this part was taken
  std::size_t extra_size_ = 0;  // at most 65535
  std::uint32_t crc_ = 0;       // of what was taken
};

}  // namespace coracle::storage
