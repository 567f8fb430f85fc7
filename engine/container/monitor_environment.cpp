#include "engine/container/monitor_environment.hpp"

#include <unistd.h>

#include <string_view>

namespace coracle {

std::vector<std::string> monitor_environment() {
  std::vector<std::string> out;
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string_view variable(*e);
    const auto name = variable.substr(0, variable.find('='));
    if (name == "PATH" || name == "CORACLE_FAIL" || name.ends_with("SAN_OPTIONS"))
      out.emplace_back(variable);
  }
  return out;
}

}  // namespace coracle
