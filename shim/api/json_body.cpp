// The JSON body of a request, read before anything else is looked up, as dockerd does: a client that
// sends no JSON hears so whoever it names.
#include <optional>

#include "engine/base/c_text.hpp"
#include "engine/base/json.hpp"
#include "engine/base/text.hpp"
#include "shim/api/api.hpp"
#include "shim/wire/json_fault.hpp"

namespace coracle::api {
namespace {

// A type is not asked for where there is no body.
Result<> check_json_type(const http::Request& request) {
  const auto type = request.header("content-type");
  if (type.empty() && !request.has_body) return {};
  const auto essence = lower(trimmed(std::string_view(type).substr(0, type.find(';'))));
  if (essence == "application/json") return {};
  if (essence.empty())
    return fail(Errc::invalid_argument, "malformed Content-Type header ({}): mime: no media type",
                type);
  return fail(Errc::invalid_argument,
              "unsupported Content-Type header ({}): must be 'application/json'", type);
}

// dockerd asks its decoder for More() behind the value, which a closing bracket is not.
bool may_follow(std::optional<char> behind) { return !behind || *behind == '}' || *behind == ']'; }

Result<json::Value> parse_body(const std::string& text) {
  CHECK(require_no_nul(text));
  auto first = json::parse_first(text);
  if (!first) {
    const auto fault = wire::json_fault(text);
    if (fault.empty()) return std::unexpected(first.error());
    return fail(Errc::invalid_argument, "invalid JSON: {}", fault);
  }
  if (!may_follow(first->behind))
    return fail(Errc::invalid_argument, "unexpected content after JSON");
  return std::move(first->value);
}

}  // namespace

Task<json::Value> json_body(CallPtr call, EmptyBody empty) {
  CO_CHECK(check_json_type(call->request));
  CO_TRY(const auto text, co_await call->read_body(kBodyLimit));
  if (text.find_first_not_of(" \t\r\n") != std::string::npos) co_return parse_body(text);
  const bool absent = !call->request.has_body;
  if (empty == EmptyBody::is_refused || (empty == EmptyBody::is_null_if_absent && !absent))
    co_return fail(Errc::invalid_argument, "invalid JSON: got EOF while reading request body");
  co_return json::Value(nullptr);
}

}  // namespace coracle::api
