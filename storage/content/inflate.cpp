// The decompressors behind inflated(): ISA-L for gzip (about twice zlib's rate, docs/decisions),
// zstd for zstd, libarchive for what only an imported archive may use.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <archive.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "storage/content/byte_source.hpp"
#include "storage/content/gzip_head.hpp"

namespace coracle::storage {
namespace {

constexpr std::size_t kInput = std::size_t{128} << 10;

// A piece of input that is used up bit by bit.
class Input {
 public:
  explicit Input(ByteSource& from) : from_(from), buffer_(kInput) {}
  // Reads the next piece when nothing is left. False at the end.
  Result<bool> fill() {
    if (left() > 0) return true;
    TRY(const auto n, from_.read(buffer_));
    at_ = 0;
    end_ = n;
    return n > 0;
  }
  [[nodiscard]] const char* data() const { return buffer_.data() + at_; }
  [[nodiscard]] std::size_t left() const { return end_ - at_; }
  void use(std::size_t n) { at_ += n; }

 private:
  ByteSource& from_;
  std::vector<char> buffer_;
  std::size_t at_ = 0, end_ = 0;
};

// ISA-L reads the members' data and their ends alone: its own reader of heads takes one that has a
// name for damaged when it comes in pieces.
class Gzip final : public ByteSource {
 public:
  explicit Gzip(ByteSource& from) : input_(from), state_(std::make_unique<inflate_state>()) {}

  Result<std::size_t> read(std::span<char> into) override {
    std::size_t got = 0;
    while (!over_ && got < into.size()) {
      if (!head_.done()) {
        CHECK(read_head());
      } else if (state_->block_state == ISAL_BLOCK_FINISH) {
        CHECK(next_member());
      } else {
        TRY(const auto n, read_data(into.subspan(got)));
        got += n;
      }
    }
    return got;
  }

 private:
  Result<> read_head() {
    TRY(const bool more, input_.fill());
    if (!more) return ended();
    TRY(const auto n, head_.take({input_.data(), input_.left()}));
    input_.use(n);
    if (!head_.done()) return {};
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP_NO_HDR_VER;
    return {};
  }

  // May make nothing of a piece of the input.
  Result<std::size_t> read_data(std::span<char> into) {
    TRY(const bool more, input_.fill());
    const auto room = static_cast<std::uint32_t>(std::min(into.size(), std::size_t{1} << 30));
    state_->next_out = reinterpret_cast<std::uint8_t*>(into.data());
    state_->avail_out = room;
    state_->next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(input_.data()));
    state_->avail_in = static_cast<std::uint32_t>(input_.left());
    const int result = isal_inflate(state_.get());
    input_.use(input_.left() - state_->avail_in);
    if (result < 0) return fail(Errc::invalid_argument, "gzip: damaged data ({})", result);
    if (!more && state_->block_state != ISAL_BLOCK_FINISH && state_->avail_out == room)
      return ended();
    return std::size_t{room} - state_->avail_out;
  }

  // Another member may follow (pigz, eStargz); what is none is padding, as gzip(1) takes it.
  Result<> next_member() {
    TRY(const bool more, input_.fill());
    over_ = !more || input_.data()[0] != '\x1f';
    head_ = {};
    return {};
  }

  static std::unexpected<Error> ended() {
    return fail(Errc::invalid_argument, "gzip: unexpected end");
  }

  Input input_;
  GzipHead head_;
  std::unique_ptr<inflate_state> state_;
  bool over_ = false;
};

class Zstd final : public ByteSource {
 public:
  explicit Zstd(ByteSource& from) : input_(from), stream_(ZSTD_createDStream()) {
    // Windows up to 128 MiB (zstd --long=27); beyond that an image could take any memory.
    ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, 27);
  }

  Result<std::size_t> read(std::span<char> into) override {
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos == 0) {
      TRY(const bool more, input_.fill());
      if (!more && !within_frame_) return std::size_t{0};
      ZSTD_inBuffer in{input_.data(), input_.left(), 0};
      const std::size_t result = ZSTD_decompressStream(stream_.get(), &out, &in);
      input_.use(in.pos);
      if (ZSTD_isError(result) != 0) {
        return fail(Errc::invalid_argument, "zstd: {}", ZSTD_getErrorName(result));
      }
      within_frame_ = result != 0;
      if (!more && out.pos == 0) return fail(Errc::invalid_argument, "zstd: unexpected end");
    }
    return out.pos;
  }

 private:
  struct Free {
    void operator()(ZSTD_DStream* s) const { ZSTD_freeDStream(s); }
  };
  Input input_;
  std::unique_ptr<ZSTD_DStream, Free> stream_;
  bool within_frame_ = false;
};

class Other final : public ByteSource {
 public:
  explicit Other(ByteSource& from) : from_(from), buffer_(kInput), archive_(archive_read_new()) {}

  Result<> open() {
    archive_read_support_filter_xz(archive_.get());
    archive_read_support_filter_bzip2(archive_.get());
    archive_read_support_filter_lz4(archive_.get());
    archive_read_support_format_raw(archive_.get());
    if (archive_read_open(archive_.get(), this, nullptr, &Other::feed, nullptr) < ARCHIVE_WARN)
      return wrong();
    archive_entry* entry = nullptr;
    if (archive_read_next_header(archive_.get(), &entry) < ARCHIVE_WARN) return wrong();
    // What is too short to be told for compressed would come out as it went in.
    if (archive_filter_code(archive_.get(), 0) == ARCHIVE_FILTER_NONE)
      return fail(Errc::invalid_argument, "decompress: invalid header");
    return {};
  }

  Result<std::size_t> read(std::span<char> into) override {
    const auto n = archive_read_data(archive_.get(), into.data(), into.size());
    if (n < 0) return wrong();
    return static_cast<std::size_t>(n);
  }

 private:
  struct Free {
    void operator()(archive* a) const { archive_read_free(a); }
  };
  std::unexpected<Error> wrong() {
    if (cause_) return std::unexpected(*cause_);
    const char* text = archive_error_string(archive_.get());
    return fail(Errc::invalid_argument, "decompress: {}", text == nullptr ? "damaged data" : text);
  }
  static la_ssize_t feed(archive* a, void* self, const void** bytes) {
    auto& me = *static_cast<Other*>(self);
    auto n = me.from_.read(me.buffer_);
    if (!n) {
      me.cause_ = n.error();
      archive_set_error(a, n.error().sys, "%s", n.error().message.c_str());
      return -1;
    }
    *bytes = me.buffer_.data();
    return static_cast<la_ssize_t>(*n);
  }

  ByteSource& from_;
  std::vector<char> buffer_;
  std::optional<Error> cause_;
  std::unique_ptr<archive, Free> archive_;
};

class Plain final : public ByteSource {
 public:
  explicit Plain(ByteSource& from) : from_(from) {}
  Result<std::size_t> read(std::span<char> into) override { return from_.read(into); }

 private:
  ByteSource& from_;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> inflated(ByteSource& from, Compression compression) {
  switch (compression) {
    case Compression::none: return std::make_unique<Plain>(from);
    case Compression::gzip: return std::make_unique<Gzip>(from);
    case Compression::zstd: return std::make_unique<Zstd>(from);
    case Compression::other: break;
  }
  auto source = std::make_unique<Other>(from);
  CHECK(source->open());
  return source;
}

}  // namespace coracle::storage
