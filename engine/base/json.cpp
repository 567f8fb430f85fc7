// The one place where Boost.JSON is compiled.
#include "engine/base/json.hpp"

#include <boost/json/src.hpp>

namespace coracle::json {

Result<Value> parse(std::string_view text) {
  boost::system::error_code ec;
  boost::json::stream_parser parser;
  const std::size_t used = parser.write_some(text.data(), text.size(), ec);
  if (!ec && used < text.size() &&
      text.find_first_not_of(" \t\r\n", used) != std::string_view::npos) {
    return fail(Errc::invalid_argument, "unexpected content after JSON");
  }
  if (!ec) parser.finish(ec);
  if (ec) return fail(Errc::invalid_argument, "invalid JSON: {} at offset {}", ec.message(), used);
  return parser.release();
}

std::string serialize(const Value& value) { return boost::json::serialize(value); }

namespace detail {

std::unexpected<Error> wrong_type(const std::string& place, const char* expected) {
  return fail(Errc::invalid_argument, "{}: expected {}", place.empty() ? "JSON" : place, expected);
}

}  // namespace detail
}  // namespace coracle::json
