#include "shim/http/body_pipe.hpp"

#include <sys/socket.h>

#include <string>
#include <utility>

#include <boost/asio/write.hpp>

namespace coracle::http {
namespace {
// About what lies in a client's socket: a turn of the loop a piece.
constexpr std::size_t kBodyPiece = std::size_t{128} << 10;
}  // namespace

Result<BodyPipe> make_body_pipe() {
  TRY(auto pair, make_socket_pair(SOCK_STREAM));
  CHECK(write_all(pair.a, "w"));
  CHECK(set_nonblocking(pair.b, true));
  return BodyPipe{std::move(pair.a), std::move(pair.b)};
}

Task<> fill_body_pipe(asio::io_context& io, UniqueFd write_side, BodyReader next) {
  asio::posix::stream_descriptor out(io, write_side.release());
  std::string piece(kBodyPiece, '\0');
  std::size_t dropped = 0;
  bool reader_gone = false;
  while (dropped < kDrain) {
    CO_TRY(const auto n, co_await next(piece.data(), piece.size()));
    if (n == 0) {
      // The mark: without it the reader finds a reset instead of an end.
      char mark = 0;
      (void)::recv(out.native_handle(), &mark, 1, MSG_DONTWAIT);
      break;
    }
    if (reader_gone) {
      dropped += n;
      continue;
    }
    const auto all = asio::buffer(piece.data(), n);
    const auto [ec, written] = co_await asio::async_write(out, all, kToken);
    if (ec) reader_gone = true;
  }
  co_return Result<>{};
}

}  // namespace coracle::http
