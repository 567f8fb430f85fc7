// Writing to a client's upgraded connection from the engine itself: replayed logs, and the reason
// why an exec did not start. What a process writes never comes this way.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"

namespace coracle {

// Docker's frame: stream (1 stdout, 2 stderr), three zeros, length (big endian), the bytes.
std::string stream_frame(std::uint8_t stream, std::string_view bytes);

// Writes all of it; the descriptor becomes non-blocking.   errors  the client has gone
Task<> write_to_client(asio::io_context& io, const UniqueFd& client, std::string bytes);

// Before what may be written at once: gives the client up to a second to take in the head of the
// answer. Some (docker-py) read that through a buffer and the stream past it: what came in one
// piece with the head they would lose.
Coro<void> await_head_read(asio::io_context& io, const UniqueFd& client);

}  // namespace coracle
