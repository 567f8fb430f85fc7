#include "engine/base/process/wait.hpp"

#include <memory>

namespace coracle {

Coro<bool> wait_until_ended(asio::io_context& io, const Pidfd& process,
                            std::chrono::milliseconds limit) {
  if (process.ended()) co_return true;
  // A pidfd is readable once its process has ended: pidfd_open(2). A copy of its own, as in
  // wait_readable.
  auto copy = duplicate(process.fd());
  if (!copy) co_return false;
  const auto end = std::make_shared<asio::posix::stream_descriptor>(io, copy->release());
  asio::steady_timer timer(io, limit);
  timer.async_wait([end](const boost::system::error_code& ec) {
    boost::system::error_code ignored;
    if (!ec) end->cancel(ignored);
  });
  co_await end->async_wait(asio::posix::stream_descriptor::wait_read, kToken);
  co_return process.ended();
}

}  // namespace coracle
