// What a header needs that only says describe(), or that takes or gives a value: engine/base/json.hpp is
// for the files that convert.
#pragma once

#include <string>
#include <type_traits>

#include <boost/json/fwd.hpp>

#include "engine/base/result.hpp"

namespace coracle::json {

using Value = boost::json::value;

// A member that is any JSON value, as its text; "" is null.
struct Raw {
  std::string text;
};
Value leaf_to_json(const Raw& raw);  // the text is JSON
Result<Raw> leaf_from_json(const Value& value, std::type_identity<Raw> /*tag*/);

}  // namespace coracle::json
