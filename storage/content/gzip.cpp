#include "storage/content/gzip.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <isa-l/igzip_lib.h>

namespace coracle::storage {
namespace {

constexpr std::size_t kCompressed = std::size_t{256} << 10;
constexpr std::uint32_t kLevel = 2;
// What ISA-L takes at once is 32 bits long.
constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;

}  // namespace

struct Gzip::State {
  isal_zstream stream{};
  std::vector<std::uint8_t> level = std::vector<std::uint8_t>(ISAL_DEF_LVL2_DEFAULT);
  std::vector<char> out = std::vector<char>(kCompressed);
};

Gzip::Gzip(Sink sink) : state_(std::make_unique<State>()), sink_(std::move(sink)) {
  isal_deflate_init(&state_->stream);
  state_->stream.level = kLevel;
  state_->stream.level_buf = state_->level.data();
  state_->stream.level_buf_size = static_cast<std::uint32_t>(state_->level.size());
  state_->stream.gzip_flag = IGZIP_GZIP;
  state_->stream.flush = NO_FLUSH;
}

Gzip::~Gzip() = default;

Result<> Gzip::deflate(std::string_view bytes, bool last) {
  auto& s = state_->stream;
  // ISA-L reads it only.
  s.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(bytes.data()));
  s.avail_in = static_cast<std::uint32_t>(bytes.size());
  s.end_of_stream = last ? 1 : 0;
  for (;;) {
    s.next_out = reinterpret_cast<std::uint8_t*>(state_->out.data());
    s.avail_out = static_cast<std::uint32_t>(state_->out.size());
    if (const int code = isal_deflate(&s); code != COMP_OK)
      return fail(Errc::internal, "compress a layer: ISA-L answers {}", code);
    const std::size_t made = state_->out.size() - s.avail_out;
    if (made > 0) CHECK(sink_({state_->out.data(), made}));
    const bool done = last ? s.internal_state.state == ZSTATE_END : s.avail_out > 0;
    if (done && s.avail_in == 0) return {};
  }
}

Result<> Gzip::write(std::string_view bytes) {
  while (!bytes.empty()) {
    CHECK(deflate(bytes.substr(0, kMostAtOnce), false));
    bytes.remove_prefix(std::min(bytes.size(), kMostAtOnce));
  }
  return {};
}

Result<> Gzip::finish() { return deflate({}, true); }

}  // namespace coracle::storage
