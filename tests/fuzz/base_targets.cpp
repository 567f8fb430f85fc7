// engine/base: JSON, times, base64, messages as they come over a socket.
#include <sys/socket.h>

#include "engine/base/ident.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

bool has_fraction(const json::Value& value) {
  if (value.is_double()) return true;
  if (value.is_array()) {
    for (const auto& e : value.get_array())
      if (has_fraction(e)) return true;
  } else if (value.is_object()) {
    for (const auto& e : value.get_object())
      if (has_fraction(e.value())) return true;
  }
  return false;
}

// What we write we can read, and it means the same. Boost.JSON 1.81 reads the last digits of a
// double only nearly; nothing of ours is kept in one.
void json_text(std::string_view input) {
  const auto value = json::parse(input);
  if (!value) return;
  const auto text = json::serialize(*value);
  const auto again = json::parse(text);
  MUST(again.has_value());
  MUST(has_fraction(*value) || json::serialize(*again) == text);
}

// A text of any bytes, as containers print them and images name them, can be read again.
void json_string(std::string_view input) {
  const std::string written(input);
  const auto text = json::to_text(std::map<std::string, std::string>{{"text", written}});
  const auto again = json::from_text<std::map<std::string, std::string>>(text);
  MUST(again.has_value());
}

void times(std::string_view input) {
  const std::string text(input);
  if (const auto asked = parse_timestamp(text)) (void)to_rfc3339_fixed(*asked);
  const auto t = from_rfc3339(text);
  if (!t || t->ns == 0) return;
  const auto again = from_rfc3339(to_rfc3339(*t));
  MUST(again.has_value() && *again == *t);
  MUST(from_rfc3339(to_rfc3339_fixed(*t)) == *t);
}

void base64(std::string_view input) {
  MUST(base64_decode(base64_encode(input)).value_or("-") == input);
  if (const auto bytes = base64_decode(input))
    MUST(base64_decode(base64_encode(*bytes)).value_or("-") == *bytes);
}

void paths(std::string_view input) {
  const auto clean = clean_path(input);
  MUST(clean_path(clean) == clean);
  MUST(clean.find("//") == std::string::npos);
  MUST((clean_path("/" + std::string(input)) + "/").find("/../") == std::string::npos);
  (void)parent_path(input);
  (void)base_name(input);
  (void)join_path(input, clean);
}

// A datagram of any bytes, as whoever holds the other end can send it.
void channel(std::string_view input) {
  auto pair = make_socket_pair(SOCK_SEQPACKET);
  MUST(pair.has_value());
  if (::send(pair->a.get(), input.data(), input.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return;
  pair->a.reset();
  for (int i = 0; i < 2; ++i) (void)receive_message(pair->b);
}

}  // namespace

std::vector<Target> base_targets() {
  std::vector<std::string> json{"{",
                                "}",
                                "[",
                                "]",
                                "\"",
                                ":",
                                ",",
                                "null",
                                "true",
                                "false",
                                "\\u0000",
                                "\\ud83d\\ude00",
                                "\\udc00",
                                "\\",
                                "1e308",
                                "-0",
                                "1e-400",
                                "18446744073709551615",
                                "-9223372036854775808",
                                "\xff",
                                "\xc3\xa9",
                                "\xed\xa0\x80",
                                "\xef\xbb\xbf"};
  return {
      {.name = "json",
       .run = json_text,
       .dictionary = json,
       .mutate = json_mutator(json),
       .inputs = 40'000},
      {.name = "json_string", .run = json_string, .dictionary = json, .inputs = 50'000},
      {.name = "time",
       .run = times,
       .dictionary = {"T", "Z", "+00:00", "-23:59", ".999999999", "0001-01-01T00:00:00Z",
                      "2262-04-11", "1677-09-21", "1970-01-01", "9223372036", "-9223372036",
                      "2024-02-29", ":60"},
       .largest = 128,
       .inputs = 200'000},
      {.name = "base64",
       .run = base64,
       .dictionary = {"=", "==", "+/", "-_", "\n"},
       .largest = 256,
       .inputs = 60'000},
      {.name = "path",
       .run = paths,
       .dictionary = {"/", "..", ".", "//", "../", "/./"},
       .largest = 512,
       .inputs = 150'000},
      {.name = "channel", .run = channel, .dictionary = {"T", "M", "{}"}, .inputs = 100'000},
  };
}

}  // namespace coracle::fuzz
