#include "tests/fuzz/coverage.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>

extern "C" const char __executable_start;  // ld's: so that places are the same in every run

namespace coracle::fuzz::coverage {
namespace {

constexpr std::size_t kMostPairs = 512;
constexpr std::size_t kLongestText = 64;

// The compiler's calls know no object to speak to.
struct Seen {
  std::array<std::uint8_t, kEdges> counts{};
  std::array<std::uint32_t, kEdges> touched{};
  std::size_t used = 0;
  std::vector<std::uint32_t> features;
  std::vector<std::pair<std::string, std::string>> pairs;
};
Seen seen;  // NOLINT

// Only the thread that runs the input counts: what other threads reach differs from run to run.
struct Mine {
  std::uintptr_t last_block = 0;
  bool counting = false, comparing = false;
};
constinit thread_local Mine mine;  // NOLINT

void count(std::uintptr_t place) {
  if (!mine.counting) return;
  const std::uintptr_t block = place - reinterpret_cast<std::uintptr_t>(&__executable_start);
  const std::size_t edge =
      ((block ^ mine.last_block) * 0x9e3779b97f4a7c15U >> 40) & (kEdges - 1);  // NOLINT
  mine.last_block = block << 1;
  auto& n = seen.counts[edge];
  if (n == 0 && seen.used < kEdges) seen.touched[seen.used++] = static_cast<std::uint32_t>(edge);
  if (n < 255) ++n;
}

std::uint32_t step(std::uint8_t count) {
  if (count <= 3) return count - 1U;
  return static_cast<std::uint32_t>(std::min(
      7, static_cast<int>(std::bit_width(count))));  // 4-7: 3, 8-15: 4, …, 128-255: 7 (capped)
}

void keep(std::string a, std::string b) {
  if (a == b || seen.pairs.size() >= kMostPairs) return;
  seen.pairs.emplace_back(std::move(a), std::move(b));
}

template <class T>
void compare(T a, T b) {
  if (!mine.comparing || a == b || seen.pairs.size() >= kMostPairs) return;
  mine.comparing = false;  // keeping compares, too
  std::string x(sizeof(T), '\0'), y(sizeof(T), '\0');
  std::memcpy(x.data(), &a, sizeof a);
  std::memcpy(y.data(), &b, sizeof b);
  if constexpr (sizeof(T) > 1) {
    keep(std::string(x.rbegin(), x.rend()), std::string(y.rbegin(), y.rend()));
    keep(std::to_string(a), std::to_string(b));
  }
  keep(std::move(x), std::move(y));
  mine.comparing = true;
}

void compare_texts(std::string_view a, std::string_view b) {
  if (!mine.comparing || b.size() < 2 || seen.pairs.size() >= kMostPairs) return;
  mine.comparing = false;
  keep(std::string(a.substr(0, kLongestText)), std::string(b.substr(0, kLongestText)));
  mine.comparing = true;
}

}  // namespace

void begin(bool compared) {
  for (std::size_t i = 0; i < seen.used; ++i) seen.counts[seen.touched[i]] = 0;
  seen.used = 0;
  if (compared) seen.pairs.clear();
  mine = {0, true, compared};
}

void end() { mine = {}; }

std::span<const std::uint32_t> features() {
  seen.features.clear();
  for (std::size_t i = 0; i < seen.used; ++i) {
    const auto edge = seen.touched[i];
    seen.features.push_back(edge * 8 + step(seen.counts[edge]));
  }
  return seen.features;
}

const std::vector<std::pair<std::string, std::string>>& comparisons() { return seen.pairs; }

}  // namespace coracle::fuzz::coverage

// See "Instrumentation Options" of gcc(1).
extern "C" {
void __sanitizer_cov_trace_pc() {
  coracle::fuzz::coverage::count(reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)));
}
void __sanitizer_cov_trace_cmp1(std::uint8_t a, std::uint8_t b) {
  coracle::fuzz::coverage::compare(a, b);
}
void __sanitizer_cov_trace_cmp2(std::uint16_t a, std::uint16_t b) {
  coracle::fuzz::coverage::compare(a, b);
}
void __sanitizer_cov_trace_cmp4(std::uint32_t a, std::uint32_t b) {
  coracle::fuzz::coverage::compare(a, b);
}
void __sanitizer_cov_trace_cmp8(std::uint64_t a, std::uint64_t b) {
  coracle::fuzz::coverage::compare(a, b);
}
void __sanitizer_cov_trace_const_cmp1(std::uint8_t a, std::uint8_t b) {
  coracle::fuzz::coverage::compare(b, a);
}
void __sanitizer_cov_trace_const_cmp2(std::uint16_t a, std::uint16_t b) {
  coracle::fuzz::coverage::compare(b, a);
}
void __sanitizer_cov_trace_const_cmp4(std::uint32_t a, std::uint32_t b) {
  coracle::fuzz::coverage::compare(b, a);
}
void __sanitizer_cov_trace_const_cmp8(std::uint64_t a, std::uint64_t b) {
  coracle::fuzz::coverage::compare(b, a);
}
void __sanitizer_cov_trace_cmpf(float /*a*/, float /*b*/) {}
void __sanitizer_cov_trace_cmpd(double /*a*/, double /*b*/) {}
// cases[0]: how many, cases[1]: their width, then the values.
void __sanitizer_cov_trace_switch(std::uint64_t value, const std::uint64_t* cases) {
  for (std::uint64_t i = 0; i < cases[0] && i < 16; ++i)
    coracle::fuzz::coverage::compare(value, cases[2 + i]);
}

// The address sanitizer tells of these.
void __sanitizer_weak_hook_memcmp(void* /*pc*/, const void* a, const void* b, std::size_t n,
                                  int result) {
  if (result != 0)
    coracle::fuzz::coverage::compare_texts({static_cast<const char*>(a), n},
                                           {static_cast<const char*>(b), n});
}
void __sanitizer_weak_hook_strcmp(void* /*pc*/, const char* a, const char* b, int result) {
  if (result != 0) coracle::fuzz::coverage::compare_texts(a, b);
}
}
