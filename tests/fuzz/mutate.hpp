// Changes of an input that know nothing of its format: bits, bytes, numbers, blocks, words of the
// dictionary, parts of other inputs, and what the parser has compared the input with.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/fuzz/random.hpp"

namespace coracle::fuzz {

struct Material {
  const std::vector<std::string>& dictionary;
  const std::vector<std::pair<std::string, std::string>>& comparisons;
  const std::string& other;  // another input of the corpus
  std::size_t largest;
};

// One to a few changes.
void mutate(std::string& input, const Material& material, Random& random);

}  // namespace coracle::fuzz
