// A request as handlers see it and the answer they give. Plain values: the connection
// (http/connection) fills in the one and writes out the other, tests make both by hand.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle::http {

struct ApiVersion {
  int major_part = 1;
  int minor_part = 0;
  auto operator<=>(const ApiVersion&) const = default;
};
constexpr ApiVersion kMinVersion{1, 24};
constexpr ApiVersion kMaxVersion{1, 51};
std::string to_string(ApiVersion version);
// "1.41". Nothing when it is not a version.
std::optional<ApiVersion> parse_version(std::string_view text);

// The Docker release whose API we follow: clients compare version numbers with it.
constexpr const char* kDockerRelease = "28.5.2";

using Pairs = std::vector<std::pair<std::string, std::string>>;

// "%41" -> "A"; in a query "+" is a blank. errors: invalid_argument
Result<std::string> percent_decode(std::string_view text, bool plus_is_blank);

// The parameters behind "?", in order; a key may come several times.
class Query {
 public:
  Query() = default;
  explicit Query(Pairs pairs) : pairs_(std::move(pairs)) {}
  // errors: invalid_argument (bad escape)
  static Result<Query> parse(std::string_view text);

  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] std::string text(std::string_view name) const;  // the first, or ""
  [[nodiscard]] std::vector<std::string> list(std::string_view name) const;
  // "", 0, no, false and none are false, anything else is true.
  [[nodiscard]] bool flag(std::string_view name, bool when_absent = false) const;
  // errors: invalid_argument when it is there and no whole number
  [[nodiscard]] Result<std::optional<std::int64_t>> number(std::string_view name) const;

 private:
  Pairs pairs_;
};

struct Request {
  std::string method;
  std::string target;  // as it was sent
  Pairs headers;       // names in lower case
  bool has_body = false;
  // Filled in by the router:
  std::string path;  // decoded, without the version
  ApiVersion version = kMaxVersion;
  Query query;
  std::vector<std::string> params;  // what the pattern's {} stood for

  [[nodiscard]] std::string header(std::string_view name) const;  // the first, or ""
};

struct Reply {
  int status = 200;
  std::string type;  // Content-Type; "" = none
  std::string body;
  Pairs headers;
  bool sent = false;  // the handler has written everything itself (stream, hijack)
};

// 200 (or `status`) application/json, the text and a newline.
Reply json_reply(std::string text, int status = 200);
Reply empty_reply(int status);
// After a stream or a hijack: nothing is left to send.
Reply sent_reply();

const char* reason_of(int status);
// The head of an answer: status line, the headers that every answer has, its own, and `framing`.
std::string head_text(const Reply& reply, std::string_view framing);

}  // namespace coracle::http
