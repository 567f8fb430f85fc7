// Waiting for the end of a process that need not be a child of ours.
#pragma once

#include <chrono>

#include "engine/base/async/async.hpp"
#include "engine/base/process/process.hpp"

namespace coracle {

// Has it ended, now or within `limit`? Whose child it is reaps it. The process must outlive the wait.
Coro<bool> wait_until_ended(asio::io_context& io, const Pidfd& process,
                            std::chrono::milliseconds limit);

}  // namespace coracle
