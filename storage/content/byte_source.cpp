#include "storage/content/byte_source.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace coracle::storage {

std::unexpected<Error> cut_short() {
  return std::unexpected(
      Error{Errc::invalid_argument, ECONNRESET, "the upload ended too early; send it again"});
}

std::unexpected<Error> was_stopped() {
  return fail(Errc::unavailable, "stopped: nobody waits for it any more");
}

Result<std::size_t> FdSource::read(std::span<char> into) {
  for (;;) {
    auto n = read_some(fd_, into);
    if (!n && n.error().sys == ECONNRESET) return cut_short();
    if (n || n.error().sys != EAGAIN) return n;
    pollfd p{fd_.get(), POLLIN, 0};
    ::poll(&p, 1, -1);
  }
}

Result<> drain(ByteSource& source) {
  std::string rest(std::size_t{64} << 10, '\0');
  for (;;) {
    TRY(const auto n, source.read(rest));
    if (n == 0) return {};
  }
}

Compression compression_of(std::string_view head) {
  using namespace std::string_view_literals;
  if (head.starts_with("\x1f\x8b"sv)) return Compression::gzip;
  if (head.starts_with("\x28\xb5\x2f\xfd"sv)) return Compression::zstd;
  // A skippable frame may come first: 0x184D2A50 to 5F, little endian. See RFC 8878.
  if (head.size() >= 4 && (head[0] & 0xf0) == 0x50 && head.substr(1, 3) == "\x2a\x4d\x18"sv)
    return Compression::zstd;
  if (head.starts_with("\xfd"
                       "7zXZ\0"sv) ||
      head.starts_with("BZh"sv) || head.starts_with("\x04\x22\x4d\x18"sv))
    return Compression::other;
  return Compression::none;
}

Result<std::size_t> read_full(ByteSource& source, std::span<char> into) {
  std::size_t got = 0;
  while (got < into.size()) {
    TRY(const auto n, source.read(into.subspan(got)));
    if (n == 0) break;
    got += n;
  }
  return got;
}

namespace {

class Joined final : public ByteSource {
 public:
  Joined(std::string_view head, ByteSource& from) : head_(head), from_(from) {}
  Result<std::size_t> read(std::span<char> into) override {
    if (used_ == head_.size()) return from_.read(into);
    const auto n = std::min(into.size(), head_.size() - used_);
    std::memcpy(into.data(), head_.data() + used_, n);
    used_ += n;
    return n;
  }

 private:
  std::string head_;
  std::size_t used_ = 0;
  ByteSource& from_;
};

}  // namespace

std::unique_ptr<ByteSource> joined(std::string_view head, ByteSource& from) {
  return std::make_unique<Joined>(head, from);
}

}  // namespace coracle::storage
