#include "engine/request/search_rules.hpp"

#include <algorithm>
#include <charconv>
#include <string>

#include "engine/base/text.hpp"

namespace coracle {
namespace {

Result<SearchRules> no_such_value(const std::string& key, const std::string& value) {
  return fail(Errc::invalid_argument, "invalid filter '{}={}'", key, value);
}

}  // namespace

Result<SearchRules> search_rules(const Filters& filters) {
  SearchRules out;
  for (const auto& [key, values] : filters) {
    for (const auto& value : values) {
      if (key == "stars") {
        std::int64_t stars = 0;
        const char* end = value.data() + value.size();
        const auto read = std::from_chars(value.data(), end, stars);
        if (read.ec != std::errc{} || read.ptr != end) return no_such_value(key, value);
        out.stars = std::max(out.stars, stars);
        continue;
      }
      const auto yes = parse_go_bool(value);
      if (!yes) return no_such_value(key, value);
      (key == "is-official" ? out.official : out.automated) = yes;
    }
  }
  return out;
}

}  // namespace coracle
