#include "engine/face/filters.hpp"

#include <algorithm>

#include <fmt/ranges.h>

#include "engine/base/text.hpp"

namespace coracle {

Result<> check_filter_key(std::string_view key, FilterKeys known) {
  if (std::ranges::find(known, key) == known.end())
    return fail(Errc::invalid_argument, "invalid filter '{}'", key);
  return {};
}

Result<> check_filter_keys(const Filters& filters, FilterKeys known) {
  for (const auto& [key, values] : filters) CHECK(check_filter_key(key, known));
  return {};
}

Result<std::optional<bool>> switch_of(const Filters& filters, const std::string& key) {
  const auto found = filters.find(key);
  if (found == filters.end() || found->second.empty()) return std::optional<bool>();
  const auto on =
      found->second.size() == 1 ? parse_go_bool(found->second[0]) : std::optional<bool>();
  if (!on)
    return fail(Errc::invalid_argument, "invalid filter '{}=[{}]'", key,
                fmt::join(found->second, " "));
  return on;
}

}  // namespace coracle
