// What an input has reached: edges between blocks of code, each with how often (in eight steps),
// and what was compared with what. Filled by calls that g++ puts into the parsers
// (-fsanitize-coverage=trace-pc,trace-cmp); this file itself is compiled without them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace coracle::fuzz::coverage {

constexpr std::size_t kEdges = std::size_t{1} << 17;
constexpr std::size_t kFeatures = kEdges * 8;

// Before an input: forgets the last one. Only between begin() and end() anything is counted.
//   compared  whether comparisons are kept as well
void begin(bool compared);
void end();

// What the input has reached, as numbers below kFeatures; valid until begin().
std::span<const std::uint32_t> features();
// Pairs of texts that were compared and differ: if the input holds one, the other may lead on.
const std::vector<std::pair<std::string, std::string>>& comparisons();

}  // namespace coracle::fuzz::coverage
