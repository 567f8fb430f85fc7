#include "engine/base/field_names.hpp"

#include <algorithm>

#include "engine/base/text.hpp"

namespace coracle::json {

void FieldNames::add(std::string_view name) {
  places_.emplace(lower(name), count_++);
  longest_ = std::max(longest_, name.size());
}

std::optional<std::size_t> FieldNames::find(std::string_view key) const {
  if (key.size() > longest_) return std::nullopt;
  const auto found = places_.find(lower(key));
  if (found == places_.end()) return std::nullopt;
  return found->second;
}

}  // namespace coracle::json
