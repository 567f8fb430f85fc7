// Shell patterns of Dockerfile variables (${A#pattern}, ${A/pattern/text}): "*" any text, "?" a
// character, "\" takes its next character as it is. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle::storage {

class ShellPattern {
 public:
  // steps  what matching may still cost: each step of each match is taken off it
  ShellPattern(std::string_view text, std::size_t& steps);

  // `value` without the shortest or the longest start, or end, that matches.
  //   errors  invalid_argument: too many steps
  Result<std::string> without_start(std::string_view value, bool longest) const;
  Result<std::string> without_end(std::string_view value, bool longest) const;
  // The first longest match, or all of them, replaced. A pattern that is empty matches nothing.
  Result<std::string> replaced(std::string_view value, std::string_view by, bool all) const;

 private:
  enum class Kind : unsigned char { letter, one, any };
  struct Item {
    Kind kind;
    char letter;
  };
  static Result<std::optional<std::size_t>> matched(const std::vector<Item>& items,
                                                    std::string_view value, bool longest,
                                                    bool backwards, std::size_t& steps);
  std::vector<Item> items_;
  std::size_t& steps_;
};

}  // namespace coracle::storage
