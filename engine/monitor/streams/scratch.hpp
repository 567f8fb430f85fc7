// One buffer for whichever stream is read just now: what it holds is used before the next read.
// A mapping of its own, so that its memory can go back to the kernel between two bursts.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "engine/base/result.hpp"

namespace coracle::monitor {

class Scratch {
 public:
  static constexpr std::size_t kSize = 64 * 1024;  // a whole pipe

  Scratch() = default;
  static Result<Scratch> make();
  Scratch(Scratch&& o) noexcept : memory_(std::exchange(o.memory_, nullptr)) {}
  Scratch& operator=(Scratch&& o) noexcept {
    std::swap(memory_, o.memory_);
    return *this;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  // Stays where it is as long as this, or what it is moved to, lives.
  [[nodiscard]] std::span<char> bytes() const {
    return {memory_, memory_ != nullptr ? kSize : std::size_t{0}};
  }
  // Lets the memory go, but not the place.
  void release();

 private:
  char* memory_ = nullptr;
};

}  // namespace coracle::monitor
