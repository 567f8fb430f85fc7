#include "engine/base/ident.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <ctime>
#include <limits>

namespace coracle {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array kLeft = {
    "able",   "amber", "blithe", "bold",   "brisk", "calm",   "clever", "dapper", "deft",   "eager",
    "fair",   "fleet", "fond",   "gentle", "glad",  "grand",  "hardy",  "jolly",  "keen",   "kind",
    "lively", "lucid", "merry",  "mild",   "neat",  "nimble", "noble",  "plucky", "proud",  "quick",
    "quiet",  "ready", "sage",   "serene", "sharp", "sleek",  "snug",   "spry",   "steady", "sunny",
    "swift",  "tidy",  "trim",   "true",   "vivid", "warm",   "wise",   "witty"};
constexpr std::array kRight = {
    "anchor",  "auk",    "barge",   "beacon",  "bittern", "brook",  "buoy",   "canoe",
    "cove",    "crane",  "curlew",  "delta",   "dinghy",  "dipper", "egret",  "ferry",
    "fjord",   "gannet", "gull",    "harbor",  "heron",   "islet",  "kayak",  "keel",
    "lagoon",  "loon",   "mallard", "mooring", "oar",     "osprey", "otter",  "paddle",
    "pelican", "pier",   "plover",  "punt",    "quay",    "raft",   "reed",   "rudder",
    "sail",    "skiff",  "sloop",   "snipe",   "tern",    "tiller", "wherry", "willow"};

std::uint64_t random_number() {
  std::uint64_t n = 0;
  // 8 bytes never fail nor come short once the pool is ready. See getrandom(2).
  while (::getrandom(&n, sizeof n, 0) != sizeof n) {
  }
  return n;
}

// The years that nanoseconds since 1970 can say in 64 bits, 1678 to 2261: their first moment, and
// the one behind their last.
constexpr Time kFirst{-9'214'560'000 * kNsPerSecond};
constexpr Time kEnd{9'214'646'400 * kNsPerSecond};

// A time as whole seconds and what is left of it, which is not negative before 1970 either.
struct Split {
  std::int64_t seconds, ns;
};
Split split(Time t) {
  const std::int64_t ns = t.ns % kNsPerSecond;
  return ns < 0 ? Split{t.ns / kNsPerSecond - 1, ns + kNsPerSecond}
                : Split{t.ns / kNsPerSecond, ns};
}

std::string format_seconds(std::int64_t seconds) {
  const std::time_t t = seconds;
  std::tm tm{};
  ::gmtime_r(&t, &tm);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

// Digits of a fraction to nanoseconds: "5" is 500000000.
std::int64_t fraction_ns(std::string_view digits) {
  std::int64_t ns = 0;
  for (std::size_t i = 0; i < 9; ++i) ns = ns * 10 + (i < digits.size() ? digits[i] - '0' : 0);
  return ns;
}

bool all_digits(std::string_view s) {
  return !s.empty() && std::ranges::all_of(s, [](unsigned char c) { return std::isdigit(c) != 0; });
}

Result<int> number(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size() || !all_digits(text.substr(at, count))) {
    return fail(Errc::invalid_argument, "{} is not a time (RFC 3339)", text);
  }
  int n = 0;
  std::from_chars(text.data() + at, text.data() + at + count, n);
  return n;
}

}  // namespace

std::string to_hex(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto b = static_cast<unsigned char>(c);
    out += kHex[b >> 4U];
    out += kHex[b & 15U];
  }
  return out;
}

std::string random_id() {
  std::array<std::uint64_t, 4> words{};
  for (auto& w : words) w = random_number();
  return to_hex({reinterpret_cast<const char*>(words.data()), sizeof words});
}

std::string short_id(const std::string& id) {
  const std::string bare = id.starts_with("sha256:") ? id.substr(7) : id;
  return bare.substr(0, 12);
}

bool is_hex_id(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return kHex.find(c) != std::string_view::npos; });
}

std::string random_name() {
  const auto n = random_number();
  return fmt::format("{}_{}", kLeft[n % kLeft.size()], kRight[(n >> 32U) % kRight.size()]);
}

Time now() {
  timespec ts{};
  ::clock_gettime(CLOCK_REALTIME, &ts);
  return Time{ts.tv_sec * kNsPerSecond + ts.tv_nsec};
}

std::string to_rfc3339(Time t) {
  if (t.ns == 0) return "0001-01-01T00:00:00Z";
  const auto [seconds, ns] = split(t);
  std::string out = format_seconds(seconds);
  if (ns != 0) {
    out += fmt::format(".{:09}", ns);
    while (out.ends_with('0')) out.pop_back();
  }
  return out + "Z";
}

std::string to_rfc3339_fixed(Time t) {
  const auto [seconds, ns] = split(t);
  return fmt::format("{}.{:09}Z", format_seconds(seconds), ns);
}

Result<Time> from_rfc3339(std::string_view text) {
  std::tm tm{};
  TRY(const int year, number(text, 0, 4));
  TRY(const int month, number(text, 5, 2));
  TRY(tm.tm_mday, number(text, 8, 2));
  TRY(tm.tm_hour, number(text, 11, 2));
  TRY(tm.tm_min, number(text, 14, 2));
  TRY(tm.tm_sec, number(text, 17, 2));
  const bool separated = text[4] == '-' && text[7] == '-' && (text[10] == 'T' || text[10] == 't') &&
                         text[13] == ':' && text[16] == ':';
  const bool in_range = month >= 1 && month <= 12 && tm.tm_mday >= 1 && tm.tm_mday <= 31 &&
                        tm.tm_hour <= 23 && tm.tm_min <= 59 && tm.tm_sec <= 60;
  if (!separated || !in_range)
    return fail(Errc::invalid_argument, "{} is not a time (RFC 3339)", text);
  if (year == 1) return Time{0};
  if (year < 1678 || year > 2261)
    return fail(Errc::invalid_argument, "time {} is out of range", text);
  tm.tm_year = year - 1900;
  tm.tm_mon = month - 1;
  std::int64_t ns = ::timegm(&tm) * kNsPerSecond;
  std::string_view rest = text.substr(19);
  if (rest.starts_with('.')) {
    const auto end = std::min(rest.find_first_not_of("0123456789", 1), rest.size());
    ns += fraction_ns(rest.substr(1, end - 1));
    rest.remove_prefix(end);
  }
  std::int64_t offset = 0;
  const bool utc = rest == "Z" || rest == "z";
  if (!utc) {
    if (rest.size() != 6 || (rest[0] != '+' && rest[0] != '-') || rest[3] != ':')
      return fail(Errc::invalid_argument, "{} is not a time (RFC 3339)", text);
    TRY(const int hours, number(rest, 1, 2));
    TRY(const int minutes, number(rest, 4, 2));
    if (hours > 23 || minutes > 59)
      return fail(Errc::invalid_argument, "{} is not a time (RFC 3339)", text);
    offset = (hours * 3600LL + minutes * 60LL) * kNsPerSecond * (rest[0] == '+' ? 1 : -1);
  }
  // A leap second or an offset may lead to a year that could not be read again.
  const Time t{ns - offset};
  if (t < kFirst || t >= kEnd) return fail(Errc::invalid_argument, "time {} is out of range", text);
  return t;
}

Result<Time> parse_timestamp(std::string_view text) {
  const auto dot = text.find('.');
  const auto whole = text.substr(0, dot);
  const bool negative = whole.starts_with('-');
  const auto digits = negative || whole.starts_with('+') ? whole.substr(1) : whole;
  if (!all_digits(digits)) {
    TRY(const auto time, from_rfc3339(text));
    return time.ns == 0 && !text.starts_with("0001") ? Time{1} : time;
  }
  std::int64_t seconds = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
  if (ec != std::errc{}) return fail(Errc::invalid_argument, "time {} is out of range", text);
  constexpr std::int64_t kMostSeconds = std::numeric_limits<std::int64_t>::max() / kNsPerSecond - 1;
  std::int64_t ns = std::min(seconds, kMostSeconds) * kNsPerSecond;
  if (dot != std::string_view::npos) {
    const auto fraction = text.substr(dot + 1);
    if (!fraction.empty() && !all_digits(fraction))
      return fail(Errc::invalid_argument, "{} is not a time", text);
    ns += fraction_ns(fraction);
  }
  if (ns == 0) return Time{1};
  return Time{negative ? -ns : ns};
}

std::string base64_encode(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t v = 0;
    for (std::size_t k = 0; k < 3; ++k)
      v = (v << 8U) | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += k <= n ? kBase64[(v >> (18U - 6U * k)) & 63U] : '=';
  }
  return out;
}

Result<std::string> base64_decode(std::string_view text) {
  std::string out;
  std::uint32_t v = 0;
  unsigned bits = 0;
  for (const char c : text) {
    if (c == '=' || c == '\n' || c == '\r') continue;
    const char standard = c == '-' ? '+' : c == '_' ? '/' : c;
    const auto digit = kBase64.find(standard);
    if (digit == std::string_view::npos) return fail(Errc::invalid_argument, "not base64");
    v = (v << 6U) | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>((v >> bits) & 255U);
    }
  }
  return out;
}

}  // namespace coracle
