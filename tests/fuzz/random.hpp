// Random numbers of a fuzz run: the same seed gives the same inputs. splitmix64.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coracle::fuzz {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  // 0 … n-1; n is not 0.
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  // One of a container's elements.
  template <class C>
  decltype(auto) of(C& all) {
    return all[below(all.size())];
  }

 private:
  std::uint64_t state_;
};

}  // namespace coracle::fuzz
