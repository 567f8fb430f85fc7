// Text of others on its way into JSON, which is UTF-8 and nothing else: names of files, output of
// programs, labels may hold any bytes. What is no UTF-8 becomes U+FFFD, one for each such byte, as
// Go's encoding/json and so Docker has it. See RFC 3629 §4, RFC 8259 §8.1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace coracle {

// Length of the UTF-8 sequence at the start of `text`, 0 when there is none (or no text).
std::size_t utf8_length(std::string_view text);
// Is all of it UTF-8? Quick for ASCII.
bool is_utf8(std::string_view text);
// The text with U+FFFD for each byte that is no UTF-8; itself when there is none.
std::string to_utf8(std::string text);
// How much of a text that was cut at its end can be shown: without the beginning of a character
// whose rest is missing.
std::size_t utf8_whole(std::string_view text);

enum class JsonStyle : std::uint8_t {
  brief,  // escapes what JSON asks for
  log,    // as Docker's log files: also <, >, & and JavaScript's line ends; tabs by number
};
// Puts `text` as a JSON string, with its quotes, behind `out`.
void append_json_string(std::string& out, std::string_view text, JsonStyle style);

}  // namespace coracle
