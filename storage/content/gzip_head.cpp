#include "storage/content/gzip_head.hpp"

#include <algorithm>
#include <array>

#include <isa-l/crc.h>

namespace coracle::storage {
namespace {

constexpr std::uint8_t kHasChecksum = 0x02;
constexpr std::uint8_t kHasExtra = 0x04;
constexpr std::uint8_t kHasName = 0x08;
constexpr std::uint8_t kHasComment = 0x10;
// A reader must refuse them: they may announce parts that it would take for data.
constexpr std::uint8_t kReserved = 0xe0;

constexpr std::size_t kFixedSize = 10;

std::uint32_t crc_of(std::uint32_t before, std::string_view bytes) {
  return crc32_gzip_refl(before, reinterpret_cast<const unsigned char*>(bytes.data()),
                         bytes.size());
}

// How much of `bytes` a text takes that ends with a zero.
std::size_t text_size(std::string_view bytes) {
  const auto zero = bytes.find('\0');
  return zero == std::string_view::npos ? bytes.size() : zero + 1;
}

}  // namespace

Result<std::size_t> GzipHead::take(std::string_view bytes) {
  std::size_t taken = 0;
  while (!done() && taken < bytes.size()) {
    TRY(const auto n, take_part(bytes.substr(taken)));
    taken += n;
  }
  return taken;
}

// One step within the part that is being taken; at least one byte.
Result<std::size_t> GzipHead::take_part(std::string_view bytes) {
  const auto first = static_cast<unsigned char>(bytes.front());
  std::size_t n = 1;
  if (part_ == Part::checksum) {
    CHECK(take_checksum(first));
    return n;
  }
  if (part_ == Part::name || part_ == Part::comment) n = text_size(bytes);
  if (part_ == Part::extra) n = std::min(bytes.size(), extra_size_ - at_);
  crc_ = crc_of(crc_, bytes.substr(0, n));
  at_ += n;
  switch (part_) {
    case Part::fixed: CHECK(take_fixed(first)); break;
    case Part::extra_size:
      extra_size_ |= std::size_t{first} << (8 * (at_ - 1));
      if (at_ == 2) next_part();
      break;
    case Part::extra:
      if (at_ == extra_size_) next_part();
      break;
    case Part::name:
    case Part::comment:
      if (bytes[n - 1] == '\0') next_part();
      break;
    case Part::checksum:
    case Part::done: break;
  }
  return n;
}

// The magic number, the method and the flags; then a time, what was told the compressor, and its
// system, which say nothing about the data.
Result<> GzipHead::take_fixed(unsigned char byte) {
  constexpr std::array<unsigned char, 3> kStart = {0x1f, 0x8b, 8};
  if (at_ <= kStart.size() && byte != kStart[at_ - 1])
    return fail(Errc::invalid_argument, "gzip: invalid header");
  if (at_ == kStart.size() + 1) {
    if ((byte & kReserved) != 0)
      return fail(Errc::invalid_argument, "gzip: unknown flags in the header ({:#04x})", byte);
    flags_ = byte;
  }
  if (at_ == kFixedSize) next_part();
  return {};
}

Result<> GzipHead::take_checksum(unsigned char byte) {
  if (byte != ((crc_ >> (8 * at_)) & 0xff))
    return fail(Errc::invalid_argument, "gzip: the header's checksum is wrong");
  if (++at_ == 2) next_part();
  return {};
}

// To the next part that this head has.
void GzipHead::next_part() {
  do {
    part_ = static_cast<Part>(static_cast<std::uint8_t>(part_) + 1);
  } while (!has(part_));
  at_ = 0;
}

bool GzipHead::has(Part part) const {
  switch (part) {
    case Part::fixed: return true;
    case Part::extra_size: return (flags_ & kHasExtra) != 0;
    case Part::extra: return extra_size_ > 0;
    case Part::name: return (flags_ & kHasName) != 0;
    case Part::comment: return (flags_ & kHasComment) != 0;
    case Part::checksum: return (flags_ & kHasChecksum) != 0;
    case Part::done: return true;
  }
  return true;
}

}  // namespace coracle::storage
