#include "engine/base/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace coracle {
namespace {

constexpr std::string_view kSpace = " \t\r\n\v\f";
constexpr double kMost_ns = 9e18;

std::optional<double> unit_ns(std::string_view unit) {
  constexpr std::array kUnits = {std::pair{"ns", 1.0},  std::pair{"us", 1e3}, std::pair{"µs", 1e3},
                                 std::pair{"ms", 1e6},  std::pair{"s", 1e9},  std::pair{"m", 6e10},
                                 std::pair{"h", 3.6e12}};
  for (const auto& [name, ns] : kUnits)
    if (unit == name) return ns;
  return std::nullopt;
}

}  // namespace

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  for (;;) {
    const auto at = text.find(separator);
    out.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t end = 0;
  for (;;) {
    const auto start = text.find_first_not_of(kSpace, end);
    if (start == std::string_view::npos) return words;
    end = std::min(text.find_first_of(kSpace, start), text.size());
    words.push_back(text.substr(start, end - start));
  }
}

std::vector<std::string> list_items(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const auto comma = std::min(text.find(','), text.size());
    if (comma > 0) items.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

std::optional<bool> parse_go_bool(std::string_view text) {
  constexpr std::array<std::string_view, 6> kTrue = {"1", "t", "T", "true", "TRUE", "True"};
  constexpr std::array<std::string_view, 6> kFalse = {"0", "f", "F", "false", "FALSE", "False"};
  if (std::ranges::find(kTrue, text) != kTrue.end()) return true;
  if (std::ranges::find(kFalse, text) != kFalse.end()) return false;
  return std::nullopt;
}

std::optional<std::int64_t> parse_go_duration_ns(std::string_view text) {
  double sum = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    double value = 0;
    const auto [end, ec] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (ec != std::errc{} || !(value >= 0)) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto unit_end = std::min(text.find_first_of("0123456789."), text.size());
    const auto unit = unit_ns(text.substr(0, unit_end));
    if (!unit) return std::nullopt;
    sum += value * *unit;
    text.remove_prefix(unit_end);
  }
  if (!(sum <= kMost_ns)) return std::nullopt;
  return static_cast<std::int64_t>(sum);
}

std::optional<std::int64_t> parse_int64(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parse_size(std::string_view text, double thousand) {
  constexpr std::string_view kUnits = "kmgtp";
  constexpr double kMost = 9e18;
  double number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc{} || !(number >= 0)) return std::nullopt;
  auto unit = lower(trimmed(text.substr(static_cast<std::size_t>(end - text.data()))));
  double factor = 1;
  if (const auto at = unit.empty() ? std::string::npos : kUnits.find(unit[0]);
      at != std::string::npos) {
    for (std::size_t i = 0; i <= at; ++i) factor *= thousand;
    unit.erase(0, unit.substr(1).starts_with("i") ? 2 : 1);
  }
  if ((!unit.empty() && unit != "b") || !(number * factor <= kMost)) return std::nullopt;
  return static_cast<std::int64_t>(number * factor);
}

}  // namespace coracle
