#include "storage/byte_source.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace coracle::storage {

namespace {

// As a request's body tells that it did not come to its end. See shim/http/call.hpp.
std::unexpected<Error> cut_short() {
  return fail(Errc::invalid_argument, "the upload ended too early; send it again");
}

}  // namespace

Result<std::size_t> FdSource::read(std::span<char> into) {
  for (;;) {
    auto n = read_some(fd_, into);
    if (!n && n.error().sys == ECONNRESET) return cut_short();
    if (n || n.error().sys != EAGAIN) return n;
    pollfd p{fd_.get(), POLLIN, 0};
    ::poll(&p, 1, -1);
  }
}

Result<std::size_t> UploadSource::read(std::span<char> into) {
  constexpr int kAskAgain_ms = 100;
  const auto begin = std::chrono::steady_clock::now();
  for (;;) {
    CHECK(check_stop(stop_));
    pollfd p{fd_.get(), POLLIN, 0};
    const int ready = ::poll(&p, 1, kAskAgain_ms);
    if (ready > 0) {
      auto n = read_some(fd_, into);
      if (!n && n.error().sys == ECONNRESET) return cut_short();
      if (n || n.error().sys != EAGAIN) return n;
    } else if (ready < 0 && errno != EINTR) {
      return sys_error("wait for the client");
    }
    if (std::chrono::steady_clock::now() - begin > patience_)
      return fail(Errc::unavailable, "the client has sent nothing for {} s; send it again",
                  std::chrono::duration_cast<std::chrono::seconds>(patience_).count());
  }
}

Result<> check_stop(const StopFlag& stop) {
  if (stop) return fail(Errc::unavailable, "stopped: nobody waits for it any more");
  return {};
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
