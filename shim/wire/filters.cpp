#include "shim/wire/filters.hpp"

#include "engine/base/json.hpp"

namespace coracle::wire {

Result<Filters> parse_filters(const std::string& text, std::span<const std::string_view> accepted) {
  Filters out;
  if (text.empty()) return out;
  const auto value = json::parse(text);
  if (!value) return std::unexpected(value.error().within("invalid filters"));
  if (value->is_null()) return out;
  if (!value->is_object())
    return fail(Errc::invalid_argument, "invalid filters: expected an object");
  for (const auto& [key_text, entry] : value->get_object()) {
    const std::string key(key_text);
    CHECK(check_filter_key(key, accepted));
    auto& values = out[key];
    if (entry.is_object()) {
      for (const auto& [v, on] : entry.get_object()) values.emplace_back(v);
    } else if (entry.is_array()) {
      for (const auto& v : entry.get_array()) {
        if (!v.is_string())
          return fail(Errc::invalid_argument, "invalid filter '{}': expected strings", key);
        values.emplace_back(v.get_string());
      }
    } else if (!entry.is_null()) {
      return fail(Errc::invalid_argument, "invalid filter '{}': expected an object or a list", key);
    }
  }
  return out;
}

}  // namespace coracle::wire
