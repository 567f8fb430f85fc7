// What a start that failed is called, and which exit code Docker gives it.
#pragma once

#include <cstdint>
#include <string>

#include "engine/container/container.hpp"

namespace coracle {

// A failing start as Docker counts it: the code that `docker run` ends with.
std::int32_t exit_code_of(const Error& e);
// What the monitor said, as the client gets it: 400 for what the command is to blame for.
Error runtime_error(const Error& e);
Error network_error(const Error& e, const Container& c, const std::string& exec_root);

}  // namespace coracle
