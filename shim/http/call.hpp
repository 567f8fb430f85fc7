// One request being answered: what a handler may do with it besides returning a Reply. A handler
// either returns a Reply, or streams (begin, then write), or takes the connection over (hijack) and
// returns sent_reply().
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "shim/http/hijack.hpp"
#include "shim/http/message.hpp"

namespace coracle::http {

class Call {
 public:
  virtual ~Call() = default;

  Request request;

  // The whole body. errors: invalid_argument above `limit` bytes, or when it is malformed or cut
  virtual Task<std::string> read_body(std::size_t limit) = 0;
  // The body as a pipe, filled as fast as it is read. A reader of a body that is cut, or whose next
  // byte does not come within Limits::stall, gets an error instead of an end (http/body_pipe).
  virtual Result<UniqueFd> body_as_pipe() = 0;
  // For a handler whose reader is content: waits until the body in the pipe has come to its end.
  //   errors  invalid_argument: it was cut, or malformed; unavailable: the client has left
  virtual Task<> body_end() = 0;
  // It is known already that the body in the pipe is cut or malformed.
  [[nodiscard]] virtual bool body_failed() const = 0;

  // Sends the head at once (chunked). errors: unavailable, the client is gone
  virtual Task<> begin(Reply head) = 0;
  // Sends one chunk. errors: unavailable, the client is gone
  virtual Task<> write(std::string data) = 0;
  [[nodiscard]] virtual bool begun() const = 0;

  // From now on the handler is cancelled when the client closes the connection. (A half-close is
  // not the end: such a client still reads.)
  virtual void end_when_client_leaves() = 0;
  // From now on a write ends with an error when the client takes nothing for Limits::stall: for an
  // answer that holds a thread meanwhile.
  virtual void end_when_client_stalls() = 0;

  // Ends HTTP on this connection: writes the head (none when `type` is null) and gives the
  // descriptor away.
  virtual Task<Hijacked> hijack(const char* type) = 0;

  // Starts a coroutine beside the handler, owned by the server: for one that feeds this call.
  virtual void beside(Coro<void> coroutine) = 0;
};
using CallPtr = std::shared_ptr<Call>;
using Handler = std::function<Task<Reply>(CallPtr)>;

}  // namespace coracle::http
