// attach: a client's connection goes to the container's monitor; before the start it waits here and
// goes with the monitor's `create`. And the size of the container's terminal.
#pragma once

#include <string>

#include "engine/container/container.hpp"
#include "engine/context.hpp"
#include "engine/logs/logs.hpp"

namespace coracle {

Task<> attach_client(asio::io_context& io, EventLog& events, Logs& logs, ContainerPtr c,
                     AttachOptions options, UniqueFd client, std::string leftover);
Task<> resize_terminal(EventLog& events, ContainerPtr c, std::uint16_t height, std::uint16_t width);

}  // namespace coracle
