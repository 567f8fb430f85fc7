#include "engine/container/client_stream.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace coracle {

std::string stream_frame(std::uint8_t stream, std::string_view bytes) {
  std::string out(8, '\0');
  out[0] = static_cast<char>(stream);
  for (int i = 0; i < 4; ++i)
    out[4 + static_cast<std::size_t>(i)] = static_cast<char>(bytes.size() >> (24 - 8 * i));
  out += bytes;
  return out;
}

Task<> write_to_client(asio::io_context& io, const UniqueFd& client, std::string bytes) {
  CO_CHECK(set_nonblocking(client, true));
  std::size_t at = 0;
  while (at < bytes.size()) {
    const auto n = ::write(client.get(), bytes.data() + at, bytes.size() - at);
    if (n >= 0) {
      at += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      CO_CHECK(co_await wait_writable(io, client));
    } else if (errno != EINTR) {
      co_return sys_error("write to the client");
    }
  }
  co_return Result<>{};
}

}  // namespace coracle
