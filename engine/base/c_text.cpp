#include "engine/base/c_text.hpp"

namespace coracle {

// A string can hold it only as an escape: JSON allows no control character as it is. A backslash
// that is escaped itself begins none.
Result<> require_no_nul(std::string_view json) {
  constexpr std::string_view kEscape = "\\u0000";
  for (auto at = json.find(kEscape); at != std::string_view::npos;
       at = json.find(kEscape, at + 1)) {
    const auto before = json.substr(0, at).find_last_not_of('\\');
    const auto backslashes = before == std::string_view::npos ? at : at - before - 1;
    if (backslashes % 2 == 0)
      return fail(Errc::invalid_argument, "invalid JSON: a string holds a NUL at offset {}", at);
  }
  return {};
}

}  // namespace coracle
