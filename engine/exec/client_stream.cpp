#include "engine/exec/client_stream.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

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

Coro<void> await_head_read(asio::io_context& io, const UniqueFd& client) {
  using std::chrono::microseconds;
  constexpr microseconds kLimit{1'000'000}, kLongest{1000};
  microseconds waited{0}, step{100};
  asio::steady_timer timer(io);
  while (waited < kLimit) {
    int unread = 0;  // the memory of what the other end has not read. See unix(7).
    if (::ioctl(client.get(), SIOCOUTQ, &unread) != 0 || unread == 0) co_return;
    timer.expires_after(step);
    co_await timer.async_wait(kToken);
    waited += step;
    step = std::min(step * 2, kLongest);
  }
}

}  // namespace coracle
