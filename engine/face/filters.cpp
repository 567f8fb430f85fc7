#include "engine/face/filters.hpp"

#include <algorithm>

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

}  // namespace coracle
