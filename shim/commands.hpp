// `coracle check` and `coracle reset`: what is done to a data root without a daemon. The flags of
// coracled say where everything lies.
#pragma once

#include <string>
#include <vector>

namespace coracle {

//   args  without the command's name
// The exit status.
int run_check(std::vector<std::string> args);
int run_reset(std::vector<std::string> args);

}  // namespace coracle
