// attach: a client's connection goes to the container's monitor; before the start it waits here and
// goes with the monitor's `create`. And the size of the container's terminal.
#pragma once

#include <string>

#include "engine/container/container.hpp"
#include "engine/logs/logs.hpp"
#include "engine/parts.hpp"

namespace coracle {

Task<> attach_client(Parts& parts, Logs& logs, ContainerPtr c, AttachOptions options,
                     UniqueFd client, std::string leftover);
Task<> resize_terminal(Parts& parts, ContainerPtr c, std::uint16_t height, std::uint16_t width);

}  // namespace coracle
