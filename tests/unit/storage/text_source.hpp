// A ByteSource of a text, in small pieces; it may end in an error.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "storage/content/byte_source.hpp"

namespace coracle::storage {

class TextSource final : public ByteSource {
 public:
  explicit TextSource(std::string text, std::size_t piece = 4096)
      : text_(std::move(text)), piece_(piece) {}
  TextSource(std::string text, Error at_end) : text_(std::move(text)), error_(std::move(at_end)) {}
  Result<std::size_t> read(std::span<char> into) override {
    const auto n = std::min({into.size(), text_.size() - at_, piece_});
    if (n == 0 && error_) return std::unexpected(*error_);
    std::memcpy(into.data(), text_.data() + at_, n);
    at_ += n;
    return n;
  }

 private:
  std::string text_;
  std::size_t piece_ = 4096;
  std::optional<Error> error_;
  std::size_t at_ = 0;
};

inline Result<std::string> all_of(ByteSource& source) {
  std::string out;
  std::string piece(1000, '\0');
  for (;;) {
    TRY(const auto n, source.read(piece));
    if (n == 0) return out;
    out.append(piece, 0, n);
  }
}

}  // namespace coracle::storage
