#include "engine/exec/detach_keys.hpp"

#include "engine/base/text.hpp"

namespace coracle {

Result<std::vector<std::uint8_t>> parse_detach_keys(const std::string& text) {
  std::vector<std::uint8_t> keys;
  for (const auto word : split(text.empty() ? "ctrl-p,ctrl-q" : std::string_view(text), ',')) {
    if (word.size() == 1) {
      keys.push_back(static_cast<std::uint8_t>(word[0]));
      continue;
    }
    const char c = word.size() == 6 && word.starts_with("ctrl-") ? word[5] : '\0';
    if (c >= 'a' && c <= 'z') {
      keys.push_back(static_cast<std::uint8_t>(c - 'a' + 1));
    } else if (c == '@' || (c >= '[' && c <= '_')) {
      keys.push_back(static_cast<std::uint8_t>(c == '@' ? 0 : c - '[' + 27));
    } else {
      return fail(Errc::invalid_argument, "Invalid detach keys ({}) provided", text);
    }
  }
  return keys;
}

}  // namespace coracle
