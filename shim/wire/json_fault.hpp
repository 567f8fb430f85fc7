// What Go's encoding/json says of a text that is no JSON: people and test suites look for its words.
#pragma once

#include <string>
#include <string_view>

namespace coracle::wire {

// "invalid character 'i' looking for beginning of object key string", "unexpected EOF", and "EOF" of
// blanks; "" when Go finds no fault with the first value in `text`.
std::string json_fault(std::string_view text);

}  // namespace coracle::wire
