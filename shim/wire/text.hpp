// Texts that clients print as they are: "Up 3 minutes (healthy)".
#pragma once

#include <chrono>
#include <string>

#include "engine/base/ident.hpp"
#include "engine/face/container_view.hpp"

namespace coracle::wire {

// "About an hour", "3 weeks": one unit, as Docker words it.
std::string human_duration(std::chrono::nanoseconds time);
// The Status column of `docker ps`.
std::string status_text(const ContainerView& view, Time at);

}  // namespace coracle::wire
