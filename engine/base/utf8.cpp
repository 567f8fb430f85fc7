#include "engine/base/utf8.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace coracle {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

unsigned byte_at(std::string_view s, std::size_t i) { return static_cast<unsigned char>(s[i]); }

// How long a sequence is that begins so; 0 for what begins none.
std::size_t promised_length(unsigned b) {
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return 2;
  if (b >= 0xE0 && b <= 0xEF) return 3;
  return b >= 0xF0 && b <= 0xF4 ? 4 : 0;
}

// What the second byte may be: no overlong forms, no surrogates, nothing above U+10FFFF.
std::pair<unsigned, unsigned> second_range(unsigned b) {
  switch (b) {
    case 0xE0: return {0xA0, 0xBF};
    case 0xED: return {0x80, 0x9F};
    case 0xF0: return {0x90, 0xBF};
    case 0xF4: return {0x80, 0x8F};
    default: return {0x80, 0xBF};
  }
}

// Are the bytes behind the first, as far as they are there, those of a sequence of `length`?
bool continues(std::string_view s, std::size_t length) {
  for (std::size_t i = 1; i < std::min(length, s.size()); ++i) {
    const auto [low, high] = i == 1 ? second_range(byte_at(s, 0)) : std::pair{0x80U, 0xBFU};
    if (byte_at(s, i) < low || byte_at(s, i) > high) return false;
  }
  return true;
}

// How many bytes at the start are ASCII; eight at a time.
std::size_t ascii_length(std::string_view s) {
  std::size_t n = 0;
  for (std::uint64_t eight = 0; n + sizeof eight <= s.size(); n += sizeof eight) {
    std::memcpy(&eight, s.data() + n, sizeof eight);
    if ((eight & 0x8080808080808080U) != 0) break;
  }
  while (n < s.size() && byte_at(s, n) < 0x80) ++n;
  return n;
}

// How many bytes at the start are UTF-8.
std::size_t valid_length(std::string_view s) {
  std::size_t n = 0;
  while (n < s.size()) {
    n += ascii_length(s.substr(n));
    if (n == s.size()) break;
    const std::size_t length = utf8_length(s.substr(n));
    if (length == 0) break;
    n += length;
  }
  return n;
}

bool is_plain(unsigned c, JsonStyle style) {
  if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') return false;
  return style == JsonStyle::brief || (c != '<' && c != '>' && c != '&');
}

void append_escape(std::string& out, unsigned c, JsonStyle style) {
  constexpr const char* kHexDigits = "0123456789abcdef";
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t':
      if (style == JsonStyle::log) break;
      out += "\\t";
      return;
    default: break;
  }
  out += "\\u00";
  out += kHexDigits[c >> 4U];
  out += kHexDigits[c & 0xFU];
}

}  // namespace

std::size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const std::size_t length = promised_length(byte_at(text, 0));
  return length <= text.size() && continues(text, length) ? length : 0;
}

bool is_utf8(std::string_view text) { return valid_length(text) == text.size(); }

std::string to_utf8(std::string text) {
  std::string_view left = text;
  std::size_t good = valid_length(left);
  if (good == left.size()) return text;
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (;;) {
    out.append(left, 0, good);
    left.remove_prefix(good);
    if (left.empty()) return out;
    out += kReplacement;
    left.remove_prefix(1);
    good = valid_length(left);
  }
}

std::size_t utf8_whole(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto end = text.substr(text.size() - back);
    const std::size_t length = promised_length(byte_at(end, 0));
    if (length == 0) continue;  // behind a first byte, or none of UTF-8
    return length > back && continues(end, length) ? text.size() - back : text.size();
  }
  return text.size();
}

void append_json_string(std::string& out, std::string_view text, JsonStyle style) {
  out += '"';
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size() && is_plain(byte_at(text, plain), style)) ++plain;
    out.append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const std::size_t n = utf8_length(text);
    if (n == 0) {
      out += "\\ufffd";
    } else if (n == 1) {
      append_escape(out, byte_at(text, 0), style);
    } else if (style == JsonStyle::log &&
               (text.starts_with("\xE2\x80\xA8") || text.starts_with("\xE2\x80\xA9"))) {
      out += text[2] == '\xA8' ? "\\u2028" : "\\u2029";
    } else {
      out.append(text.data(), n);
    }
    text.remove_prefix(std::max<std::size_t>(n, 1));
  }
  out += '"';
}

}  // namespace coracle
