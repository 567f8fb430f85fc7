#include "shim/api/archive_reply.hpp"

#include <exception>
#include <optional>

namespace coracle::api {
namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10;

struct Sending {
  explicit Sending(asio::io_context& io) : changed(io) {}
  Signal changed;
  std::optional<http::Pairs> headers;
  bool over = false;
  Result<> result;
};
using SendingPtr = std::shared_ptr<Sending>;

Coro<void> produce(ArchiveOperation operation, UniqueFd to, SendingPtr sending) {
  co_await asio::this_coro::throw_if_cancelled(false);
  HeadSink told = [sending](http::Pairs headers) {
    sending->headers = std::move(headers);
    sending->changed.notify_all();
  };
  try {
    sending->result = co_await operation(std::move(to), std::move(told));
  } catch (const std::exception& e) {
    sending->result = fail(Errc::internal, "a defect in coracle: {}", e.what());
  }
  sending->over = true;
  sending->changed.notify_all();
}

// Until the operation is over, or has told the head.   errors  unavailable: cancelled
Task<> wait_for(SendingPtr sending, bool or_head) {
  while (!sending->over && !(or_head && sending->headers)) {
    const bool heard = co_await sending->changed.wait();
    const auto state = co_await asio::this_coro::cancellation_state;
    if (!heard && state.cancelled() != asio::cancellation_type::none)
      co_return fail(Errc::unavailable, "the client has left");
  }
  co_return Result<>{};
}

Task<> forward(CallPtr call, asio::io_context& io, const UniqueFd& pipe, SendingPtr sending,
               bool tells_head) {
  std::string piece(kPiece, '\0');
  for (;;) {
    const auto n = read_some(pipe, piece);
    if (!n && n.error().sys == EAGAIN) {
      CO_CHECK(co_await wait_readable(io, pipe));
      continue;
    }
    if (!n) co_return std::unexpected(n.error());
    if (*n == 0) break;
    if (!call->begun()) {
      if (tells_head) CO_CHECK(co_await wait_for(sending, true));
      Reply head;
      head.type = "application/x-tar";
      if (sending->headers) head.headers = *sending->headers;
      CO_CHECK(co_await call->begin(std::move(head)));
    }
    CO_CHECK(co_await call->write(piece.substr(0, *n)));
  }
  // What came is whole only if the writer says so.
  co_return co_await wait_for(sending, false);
}

}  // namespace

Task<Reply> send_archive(CallPtr call, asio::io_context& io, ArchiveOperation operation,
                         bool tells_head) {
  CO_TRY(auto pipe, make_pipe());
  CO_CHECK(set_nonblocking(pipe.read, true));
  call->end_when_client_leaves();
  call->end_when_client_stalls();
  auto sending = std::make_shared<Sending>(io);
  Scope scope(io);
  scope.start("archive", produce(std::move(operation), std::move(pipe.write), sending));
  const auto sent = co_await forward(call, io, pipe.read, sending, tells_head);
  pipe.read.reset();  // a writer that waits for room sees that nobody reads
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await scope.close();
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
  CO_CHECK(sent);
  CO_CHECK(sending->result);
  if (!call->begun()) co_return fail(Errc::internal, "the archive is empty");
  co_return http::sent_reply();
}

}  // namespace coracle::api
