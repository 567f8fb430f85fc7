// What a start that failed is called.
#pragma once

#include <string>

#include "engine/container/container.hpp"

namespace coracle {

// What the monitor said, as the client gets it: 400 for what the command is to blame for.
Error runtime_error(const Error& e);
Error network_error(const Error& e, const Container& c, const std::string& exec_root);

}  // namespace coracle
