// A request's body on its way to a reader on another thread. It is a pair of sockets rather than a
// pipe because only a socket can tell its reader of a body that was cut: the reader's side holds a
// byte ready that the writer takes out when the body has come to its proper end. A socket that is
// closed with bytes unread resets its peer (unix(7), ECONNRESET), so whatever ends the writer
// before (a client that left, a defect), the reader gets all that came and then an error, never an
// end.
#pragma once

#include <cstddef>
#include <functional>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::http {

struct BodyPipe {
  UniqueFd read;   // blocking
  UniqueFd write;  // non-blocking
};
Result<BodyPipe> make_body_pipe();

constexpr std::size_t kDrain = std::size_t{1} << 20;  // of a body that nobody wants (any more)

// Gives the next piece of a body; 0 is its end.
using BodyReader = std::function<Task<std::size_t>(char* into, std::size_t size)>;
// Fills the pipe and closes it. The reader may have enough before the body's end (the padding of a
// tar): the rest is read and dropped, up to kDrain.   errors  the body's: it was cut, or malformed
Task<> fill_body_pipe(asio::io_context& io, UniqueFd write_side, BodyReader next);

}  // namespace coracle::http
