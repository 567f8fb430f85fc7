// An input as a source of bytes.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

#include "storage/content/byte_source.hpp"

namespace coracle::fuzz {

class ViewSource final : public storage::ByteSource {
 public:
  explicit ViewSource(std::string_view text) : left_(text) {}
  Result<std::size_t> read(std::span<char> into) override {
    const auto n = std::min(into.size(), left_.size());
    std::copy_n(left_.begin(), n, into.begin());
    left_.remove_prefix(n);
    return n;
  }

 private:
  std::string_view left_;
};

}  // namespace coracle::fuzz
