// dockerd's directives, as flags and as keys of daemon.json, before it is known what they mean.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle::shim {

// Directive's flag -> values as text ("true" and "false" for a boolean).
using Values = std::map<std::string, std::vector<std::string>>;

// Without argv[0].
//   notes   what is to be said of those that have no meaning here
//   errors  invalid_argument: an unknown flag or key, a value of the wrong kind
Result<Values> parse_flags(const std::vector<std::string>& args, std::vector<std::string>& notes);
Result<Values> parse_file(const std::string& path, std::vector<std::string>& notes);
// The same directive is not given twice.
Result<> no_conflicts(const Values& flags, const Values& file);

// The value of a directive that has one.
std::string first(const Values& values, const char* name, std::string otherwise = "");
std::vector<std::string> all(const Values& values, const char* name);

std::string help_text();

}  // namespace coracle::shim
