// The `filters` parameter: URL-encoded JSON, a map of maps ({"label":{"a=b":true}}, Go clients) or
// a map of lists ({"label":["a=b"]}, everybody else).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/base/result.hpp"
#include "engine/face/filters.hpp"

namespace coracle::wire {

// errors: invalid_argument: bad JSON, or "invalid filter 'x'" for a key that is not in `accepted`
Result<Filters> parse_filters(const std::string& text, FilterKeys accepted);

}  // namespace coracle::wire
