// dockerd's flags and keys that are not ours, so that scripts which give them find what they mean here:
// accepted with a line in the log where they have no meaning without root, or refused with the reason.
#pragma once

#include <string_view>

namespace coracle::shim {

struct ForeignDirective {
  const char* flag;  // long, without "--"
  char letter;       // short, 0 = none
  const char* key;   // in the file, nullptr = flag only
  bool boolean;      // the flag takes no argument; in the file it may hold anything
  bool refused;
  const char* why;  // follows "--flag: " or "key: "
};

const ForeignDirective* foreign_by_flag(std::string_view name);
const ForeignDirective* foreign_by_letter(char letter);
const ForeignDirective* foreign_by_key(std::string_view key);

}  // namespace coracle::shim
