// An archive as the answer: an operation of the engine writes it into a pipe, and what comes out
// goes to the client in chunks. The operation ends with its client: one that leaves, or that takes
// nothing for Limits::stall, cancels it, and the handler answers only when it has ended.
#pragma once

#include <functional>

#include "shim/api/api.hpp"

namespace coracle::api {

// To be called on the loop, once, before the first byte: the head's own headers.
using HeadSink = std::function<void(http::Pairs)>;
using ArchiveOperation = std::function<Task<>(UniqueFd to, HeadSink told)>;

//   tells_head  the operation calls its sink: the head waits for it
Task<Reply> send_archive(CallPtr call, asio::io_context& io, ArchiveOperation operation,
                         bool tells_head = false);

}  // namespace coracle::api
