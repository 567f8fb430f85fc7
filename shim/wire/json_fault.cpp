// encoding/json's scanner.go, with its states and their words. It runs only behind a parser that has
// refused the text, and takes one look at each byte.
#include "shim/wire/json_fault.hpp"

#include <cstddef>
#include <cstdint>

#include <fmt/core.h>

namespace coracle::wire {
namespace {

constexpr std::size_t kMaxDepth = 10'000;

// A byte between quotes, as strconv.Quote shows the character of that number.
std::string quoted(char c) {
  const auto byte = static_cast<unsigned char>(c);
  constexpr std::string_view kNamed = "\a\b\t\n\v\f\r", kNames = "abtnvfr";
  if (const auto at = kNamed.find(c); at != std::string_view::npos)
    return fmt::format("'\\{}'", kNames[at]);
  if (c == '\'' || c == '\\') return fmt::format("'\\{}'", c);
  if (byte < 0x20 || byte == 0x7F) return fmt::format("'\\x{:02x}'", byte);
  if (byte < 0x7F) return fmt::format("'{}'", c);
  if (byte <= 0xA0 || byte == 0xAD) return fmt::format("'\\u{:04x}'", byte);
  return fmt::format("'{}{}'", static_cast<char>(0xC0U | byte >> 6U),
                     static_cast<char>(0x80U | (byte & 0x3FU)));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class FaultFinder {
 public:
  explicit FaultFinder(std::string_view text) : text_(text) {}

  std::string find() {
    while (fault_.empty() && !done_) {
      skip_blanks();
      if (at_end())
        fault_ = started_ ? "unexpected EOF" : "EOF";
      else
        step(text_[at_++]);
      started_ = true;
    }
    return fault_;
  }

 private:
  // What may come next.
  enum class Next : std::uint8_t {
    value,
    value_or_end,  // of a list
    key,
    key_or_end,
    colon,
    comma_of_object,
    comma_of_list,
  };

  void step(char c) {
    const bool closes_list =
        c == ']' && (next_ == Next::value_or_end || next_ == Next::comma_of_list);
    const bool closes_object =
        c == '}' && (next_ == Next::key_or_end || next_ == Next::comma_of_object);
    if (closes_list || closes_object) {
      open_.pop_back();
      return end_value();
    }
    switch (next_) {
      case Next::value:
      case Next::value_or_end: return begin_value(c);
      case Next::key:
      case Next::key_or_end:
        if (c != '"') return invalid(c, "looking for beginning of object key string");
        next_ = Next::colon;
        return rest_of_string();
      case Next::colon:
        if (c != ':') return invalid(c, "after object key");
        next_ = Next::value;
        return;
      case Next::comma_of_object:
        if (c != ',') return invalid(c, "after object key:value pair");
        next_ = Next::key;
        return;
      case Next::comma_of_list:
        if (c != ',') return invalid(c, "after array element");
        next_ = Next::value;
        return;
    }
  }

  void begin_value(char c) {
    if (c == '{' || c == '[') {
      if (open_.size() == kMaxDepth) {
        fault_ = "exceeded max depth";
        return;
      }
      open_.push_back(c);
      next_ = c == '{' ? Next::key_or_end : Next::value_or_end;
      return;
    }
    if (c == '"') {
      rest_of_string();
    } else if (c == '-' || is_digit(c)) {
      rest_of_number(c);
    } else if (c == 't') {
      rest_of_word("true");
    } else if (c == 'f') {
      rest_of_word("false");
    } else if (c == 'n') {
      rest_of_word("null");
    } else {
      return invalid(c, "looking for beginning of value");
    }
    end_value();
  }

  void end_value() {
    done_ = open_.empty();
    if (!done_) next_ = open_.back() == '{' ? Next::comma_of_object : Next::comma_of_list;
  }

  void rest_of_string() {
    while (fault_.empty()) {
      const char c = take();
      if (!fault_.empty() || c == '"') return;
      if (static_cast<unsigned char>(c) < 0x20) return invalid(c, "in string literal");
      if (c == '\\') rest_of_escape();
    }
  }

  void rest_of_escape() {
    const char c = take();
    if (!fault_.empty()) return;
    if (std::string_view("bfnrt\\/\"u").find(c) == std::string_view::npos)
      return invalid(c, "in string escape code");
    for (int i = 0; c == 'u' && i < 4; ++i) {
      const char digit = take();
      if (!fault_.empty()) return;
      if (!is_hex(digit)) return invalid(digit, "in \\u hexadecimal character escape");
    }
  }

  void rest_of_number(char c) {
    if (c == '-') {
      c = take();
      if (!fault_.empty()) return;
      if (!is_digit(c)) return invalid(c, "in numeric literal");
    }
    if (c != '0') skip_digits();
    if (peek() == '.') {
      ++at_;
      if (!digits("after decimal point in numeric literal")) return;
    }
    if (peek() != 'e' && peek() != 'E') return;
    ++at_;
    if (peek() == '+' || peek() == '-') ++at_;
    (void)digits("in exponent of numeric literal");
  }

  void rest_of_word(std::string_view word) {
    for (const char wanted : word.substr(1)) {
      const char c = take();
      if (!fault_.empty()) return;
      if (c != wanted)
        return invalid(c, fmt::format("in literal {} (expecting '{}')", word, wanted));
    }
  }

  // At least one.
  bool digits(const char* where) {
    const char c = take();
    if (!fault_.empty()) return false;
    if (!is_digit(c)) {
      invalid(c, where);
      return false;
    }
    skip_digits();
    return true;
  }
  void skip_digits() {
    while (is_digit(peek())) ++at_;
  }
  void skip_blanks() {
    while (!at_end() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
  [[nodiscard]] char peek() const { return at_end() ? '\0' : text_[at_]; }
  char take() {
    if (!at_end()) return text_[at_++];
    fault_ = "unexpected EOF";
    return '\0';
  }
  void invalid(char c, std::string_view where) {
    fault_ = fmt::format("invalid character {} {}", quoted(c), where);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string open_;  // the brackets that are open
  Next next_ = Next::value;
  bool started_ = false, done_ = false;
  std::string fault_;
};

}  // namespace

std::string json_fault(std::string_view text) { return FaultFinder(text).find(); }

}  // namespace coracle::wire
