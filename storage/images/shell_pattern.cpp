#include "storage/images/shell_pattern.hpp"

#include <algorithm>

namespace coracle::storage {
namespace {

// A later byte of a character in UTF-8.
bool goes_on(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

ShellPattern::ShellPattern(std::string_view text, std::size_t& steps) : steps_(steps) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '*') {
      items_.push_back({Kind::any, 0});
    } else if (text[i] == '?') {
      items_.push_back({Kind::one, 0});
    } else {
      if (text[i] == '\\' && i + 1 < text.size()) ++i;
      items_.push_back({Kind::letter, text[i]});
    }
  }
}

// How much of the start of `value` the items match: a set of places is carried from item to item,
// so that no pattern takes more than its length times the value's.
//   backwards  items and value are reversed: a character's later bytes stand before its first
Result<std::optional<std::size_t>> ShellPattern::matched(const std::vector<Item>& items,
                                                         std::string_view value, bool longest,
                                                         bool backwards, std::size_t& steps) {
  std::vector<bool> places(value.size() + 1);
  places[0] = true;
  for (const auto& item : items) {
    if (steps <= value.size())
      return fail(Errc::invalid_argument, "a pattern takes too long to be looked for");
    steps -= value.size() + 1;
    std::vector<bool> next(value.size() + 1);
    bool from_before = false;
    for (std::size_t at = 0; at <= value.size(); ++at) {
      from_before = from_before || places[at];
      if (item.kind == Kind::any) next[at] = from_before;
      if (!places[at] || at == value.size() || item.kind == Kind::any) continue;
      auto end = at + 1;
      if (item.kind == Kind::letter) {
        if (value[at] == item.letter) next[end] = true;
        continue;
      }
      if (backwards) {
        while (end < value.size() && goes_on(value[end - 1])) ++end;
      } else {
        while (end < value.size() && goes_on(value[end])) ++end;
      }
      next[end] = true;
    }
    places = std::move(next);
  }
  std::optional<std::size_t> found;
  for (std::size_t at = 0; at <= value.size() && (longest || !found); ++at) {
    if (places[at]) found = at;
  }
  return found;
}

Result<std::string> ShellPattern::without_start(std::string_view value, bool longest) const {
  TRY(const auto size, matched(items_, value, longest, false, steps_));
  return std::string(value.substr(size.value_or(0)));
}

Result<std::string> ShellPattern::without_end(std::string_view value, bool longest) const {
  const std::vector<Item> items(items_.rbegin(), items_.rend());
  const std::string reversed(value.rbegin(), value.rend());
  TRY(const auto size, matched(items, reversed, longest, true, steps_));
  return std::string(value.substr(0, value.size() - size.value_or(0)));
}

Result<std::string> ShellPattern::replaced(std::string_view value, std::string_view by,
                                           bool all) const {
  std::string out;
  bool more = !items_.empty();
  while (more && !value.empty()) {
    TRY(const auto size, matched(items_, value, true, false, steps_));
    if (size.value_or(0) == 0) {
      out += value.front();
      value.remove_prefix(1);
      continue;
    }
    out += by;
    value.remove_prefix(*size);
    more = all;
  }
  return out + std::string(value);
}

}  // namespace coracle::storage
