// The one place where Boost.JSON is compiled.
#include "engine/base/json.hpp"

#include <algorithm>
#include <cmath>

#include <boost/json/src.hpp>

#include "engine/base/utf8.hpp"

namespace coracle::json {
namespace {

// A number beyond a double is read as infinity, which JSON has no text for. As deep as the parser
// allows, 32 levels.
bool is_finite(const Value& value) {
  if (value.is_double()) return std::isfinite(value.get_double());
  if (value.is_array()) return std::ranges::all_of(value.get_array(), is_finite);
  if (value.is_object())
    return std::ranges::all_of(value.get_object(),
                               [](const auto& pair) { return is_finite(pair.value()); });
  return true;
}

}  // namespace

// Bytes that are no UTF-8 stand within strings, or are an error anyway: what is outside of strings
// is ASCII. So they can be replaced before parsing, and after serializing.
Result<First> parse_first(std::string_view text) {
  if (!is_utf8(text)) return parse_first(to_utf8(std::string(text)));
  boost::system::error_code ec;
  boost::json::stream_parser parser;
  const std::size_t used = parser.write_some(text.data(), text.size(), ec);
  // A number alone is over only where the text is.
  if (!ec && !parser.done()) parser.finish(ec);
  if (ec) return fail(Errc::invalid_argument, "invalid JSON: {} at offset {}", ec.message(), used);
  First first;
  first.value = parser.release();
  if (!is_finite(first.value))
    return fail(Errc::invalid_argument, "invalid JSON: a number out of range");
  if (const auto at = text.find_first_not_of(" \t\r\n", used); at != std::string_view::npos)
    first.behind = text[at];
  return first;
}

Result<Value> parse(std::string_view text) {
  TRY(auto first, parse_first(text));
  if (first.behind) return fail(Errc::invalid_argument, "unexpected content after JSON");
  return std::move(first.value);
}

std::string serialize(const Value& value) { return to_utf8(boost::json::serialize(value)); }

Value leaf_to_json(const Raw& raw) {
  if (raw.text.empty()) return nullptr;
  auto value = parse(raw.text);
  return value ? *std::move(value) : Value{};
}

Result<Raw> leaf_from_json(const Value& value, std::type_identity<Raw> /*tag*/) {
  return Raw{json::serialize(value)};
}

namespace detail {

std::unexpected<Error> wrong_type(const std::string& place, const char* expected) {
  return fail(Errc::invalid_argument, "{}: expected {}", place.empty() ? "JSON" : place, expected);
}

}  // namespace detail
}  // namespace coracle::json
