// Identifiers and times as Docker writes them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/result.hpp"

namespace coracle {

// 64 lower-case hex digits from getrandom(2).
std::string random_id();
// The 12 digits that clients show.
std::string short_id(const std::string& id);
bool is_hex_id(std::string_view text);
// "brisk_otter": for containers without a name.
std::string random_name();

// Nanoseconds since the epoch. 0 means "never".
struct Time {
  std::int64_t ns = 0;
  auto operator<=>(const Time&) const = default;
};
Time now();
// RFC 3339 in UTC with nanoseconds, trailing zeros cut as Go does; "never" is 0001-01-01T00:00:00Z.
std::string to_rfc3339(Time t);
// The same with always nine digits (log lines).
std::string to_rfc3339_fixed(Time t);
// RFC 3339 with any offset, to nanoseconds. errors: invalid_argument
Result<Time> from_rfc3339(std::string_view text);
// Docker's time parameters: Unix seconds with optional fraction, or RFC 3339. The epoch itself,
// which clients name to mean the beginning, is the nanosecond behind it: 0 is "never".
//   errors  invalid_argument; what is beyond Time but a number of 64 bits is Time's first or last
Result<Time> parse_timestamp(std::string_view text);

std::string to_hex(std::string_view bytes);
std::string base64_encode(std::string_view bytes);
// Both alphabets (standard and url), padding optional. errors: invalid_argument
Result<std::string> base64_decode(std::string_view text);

}  // namespace coracle
