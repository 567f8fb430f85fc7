#include "engine/request/until.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace coracle {
namespace {

std::optional<double> unit_ns(std::string_view unit) {
  constexpr std::array kUnits = {std::pair{"ns", 1.0},  std::pair{"us", 1e3}, std::pair{"µs", 1e3},
                                 std::pair{"ms", 1e6},  std::pair{"s", 1e9},  std::pair{"m", 6e10},
                                 std::pair{"h", 3.6e12}};
  for (const auto& [name, ns] : kUnits) {
    if (unit == name) return ns;
  }
  return std::nullopt;
}

// See Go's time.ParseDuration: numbers, each with its unit.
std::optional<std::int64_t> duration_ns(std::string_view text) {
  double sum = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    double value = 0;
    const auto [end, ec] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (ec != std::errc{} || value < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto unit_end = std::min(text.find_first_of("0123456789."), text.size());
    const auto unit = unit_ns(text.substr(0, unit_end));
    if (!unit) return std::nullopt;
    sum += value * *unit;
    text.remove_prefix(unit_end);
  }
  if (sum > 9e18) return std::nullopt;
  return static_cast<std::int64_t>(sum);
}

}  // namespace

Result<Time> parse_until(const std::string& text, Time at) {
  if (const auto back = duration_ns(text)) return Time{at.ns - *back};
  if (const auto time = parse_timestamp(text)) return *time;
  // A date, a date and a time of day without seconds, or without a zone: as if they were there.
  for (const char* rest : {"Z", ":00Z", "T00:00:00Z"}) {
    if (const auto time = from_rfc3339(text + rest)) return *time;
  }
  return fail(Errc::invalid_argument, "failed to parse value as time or duration: \"{}\"", text);
}

}  // namespace coracle
