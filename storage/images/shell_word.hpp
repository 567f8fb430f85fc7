// Words of Dockerfile instructions: quotes and escapes are taken away and variables put in, as
// BuildKit's frontend/dockerfile/shell does it: $A, ${A}, ${A:-word} and its like, ${A#pattern},
// ${A/pattern/text}. Pure. What it makes and how long it looks is bounded: `ENV A=$A$A` a hundred
// times over is a kilobyte of text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle::storage {

class WordExpander {
 public:
  // What all words together may come to, and the steps that patterns may take.
  static constexpr std::size_t kMostBytes = std::size_t{1} << 20;
  static constexpr std::size_t kMostSteps = std::size_t{1} << 22;
  static constexpr int kMostNested = 32;

  // env  "NAME=value"; looked into at each word, so it may change in between
  explicit WordExpander(const std::vector<std::string>& env) : env_(env) {}

  //   errors  invalid_argument: a quote or brace that does not end, a bad substitution, a variable
  //           that ${A?text} asks for, too much
  Result<std::string> word(std::string_view text);
  // As word(); white space that came out of variables, or stands outside of quotes, parts it.
  Result<std::vector<std::string>> words(std::string_view text);

 private:
  struct Made;
  class Reader;

  const std::vector<std::string>& env_;
  std::size_t bytes_left_ = kMostBytes;
  std::size_t steps_left_ = kMostSteps;
};

// Parts a line at white space; quotes and escapes hold a word together, and stay in it.
std::vector<std::string> quoted_words(std::string_view line);

}  // namespace coracle::storage
