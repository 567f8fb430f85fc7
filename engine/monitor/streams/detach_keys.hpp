// Finds the detach keys in what a terminal's client types. What may be their beginning is held back
// until the next byte decides; what turns out not to be is passed on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coracle::monitor {

class DetachKeys {
 public:
  DetachKeys() = default;
  explicit DetachKeys(std::vector<std::uint8_t> keys) : keys_(std::move(keys)) {}

  struct Passed {
    std::string text;       // for the process
    bool detached = false;  // what stood behind the keys is dropped
  };
  Passed pass(std::string_view typed) {
    Passed out;
    if (keys_.empty()) {
      out.text = typed;
      return out;
    }
    for (const char c : typed) {
      const auto byte = static_cast<std::uint8_t>(c);
      if (byte != keys_[matched_]) {
        out.text.append(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(matched_));
        matched_ = 0;
      }
      if (byte != keys_[matched_]) {
        out.text += c;
        continue;
      }
      if (++matched_ == keys_.size()) {
        matched_ = 0;
        out.detached = true;
        return out;
      }
    }
    return out;
  }

 private:
  std::vector<std::uint8_t> keys_;
  std::size_t matched_ = 0;  // of keys_, held back
};

}  // namespace coracle::monitor
