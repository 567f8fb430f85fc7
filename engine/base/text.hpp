// Small acts on text, in ASCII: what is beyond it stays as it is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coracle {

std::string lower(std::string_view text);
// The words between white space.
std::vector<std::string_view> words_of(std::string_view text);
// What stands between commas, without what is empty.
std::vector<std::string> list_items(std::string_view text);

}  // namespace coracle
