#include "engine/base/async/async.hpp"

#include <exception>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "engine/base/log.hpp"

namespace coracle {

Error detail::error_of(const std::exception_ptr& exception) noexcept {
  try {
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& e) {
      return Error{Errc::internal, 0, fmt::format("a job ended by an exception: {}", e.what())};
    } catch (...) {
      return Error{Errc::internal, 0, "a job ended by an exception"};
    }
  } catch (...) {
    return Error{Errc::internal, 0, "out of memory"};  // short enough to need none itself
  }
}

void Scope::start(const char* what, Coro<void> coroutine) {
  auto state = state_;
  const auto signal = state->signals.emplace(state->signals.end());
  asio::co_spawn(
      io_, std::move(coroutine),
      asio::bind_cancellation_slot(
          signal->slot(), [what, state, signal](const std::exception_ptr& e) {
            state->signals.erase(signal);
            if (state->signals.empty()) {
              for (auto* waiter : state->waiters) waiter->cancel();
            }
            if (!e) return;
            try {
              std::rethrow_exception(e);
            } catch (const boost::system::system_error& x) {
              // How asio ends a cancelled coroutine at its next co_await.
              if (x.code() == asio::error::operation_aborted) return;
              log::error("coroutine ended by an exception what={} reason={}", what, x.what());
            } catch (const std::exception& x) {
              log::error("coroutine ended by an exception what={} reason={}", what, x.what());
            }
          }));
}

void Scope::cancel() {
  // A cancelled coroutine may end, and so leave the list, within emit(): walk a copy of the
  // positions.
  std::vector<std::list<asio::cancellation_signal>::iterator> all;
  for (auto i = state_->signals.begin(); i != state_->signals.end(); ++i) all.push_back(i);
  for (auto i : all) {
    asio::post(io_, [state = state_, i] {
      for (auto k = state->signals.begin(); k != state->signals.end(); ++k) {
        if (k == i) {
          k->emit(asio::cancellation_type::terminal);
          return;
        }
      }
    });
  }
}

Coro<void> Scope::close() {
  asio::steady_timer done(io_);
  auto state = state_;
  state->waiters.push_back(&done);
  // Asked again and again: a coroutine does not hear it while it waits for a worker or for its
  // lock.
  while (!state->signals.empty()) {
    cancel();
    done.expires_after(std::chrono::milliseconds(20));
    co_await done.async_wait(kToken);
  }
  std::erase(state->waiters, &done);
}

Coro<AsyncMutex::Lock> AsyncMutex::lock() {
  if (!busy_) {
    busy_ = true;
    co_return Lock(this);
  }
  auto mine = std::make_shared<OneShot<>>(io_);
  waiting_.push_back(mine);
  // A lock that was promised is always taken: a cancelled waiter gets it too, and its caller gives
  // it back.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  (void)co_await mine->wait();
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
  co_return Lock(this);
}

void AsyncMutex::pass_on() {
  if (waiting_.empty()) {
    busy_ = false;
    return;
  }
  auto next = waiting_.front();
  waiting_.pop_front();
  next->set();
}

Coro<bool> Signal::wait() {
  co_await timer_.async_wait(kToken);
  const auto state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() == asio::cancellation_type::none;
}

Coro<bool> Signal::wait_for(std::chrono::milliseconds limit) {
  asio::steady_timer own(timer_.get_executor());
  own.expires_after(limit);
  // Two waits race; the loser's handler is dropped with its timer.
  struct Race {
    bool decided = false;
    bool notified = false;
    asio::steady_timer wake;
  };
  auto race = std::make_shared<Race>(
      Race{false, false,
           asio::steady_timer(timer_.get_executor(), asio::steady_timer::time_point::max())});
  timer_.async_wait([race](boost::system::error_code) {
    race->notified = !race->decided;
    race->decided = true;
    race->wake.cancel();
  });
  own.async_wait([race](boost::system::error_code) {
    race->decided = true;
    race->wake.cancel();
  });
  co_await race->wake.async_wait(kToken);
  const auto state = co_await asio::this_coro::cancellation_state;
  race->decided = true;
  co_return race->notified&& state.cancelled() == asio::cancellation_type::none;
}

namespace {

Task<> wait_fd(asio::io_context& io, const UniqueFd& fd,
               asio::posix::stream_descriptor::wait_type what) {
  // A copy of its own: epoll(7) takes each descriptor number once, and two may wait for the same
  // file.
  CO_TRY(auto copy, duplicate(fd));
  asio::posix::stream_descriptor d(io, copy.release());
  const auto [ec] = co_await d.async_wait(what, kToken);
  if (ec) co_return fail(Errc::unavailable, "wait for a descriptor: {}", ec.message());
  co_return Result<>{};
}

}  // namespace

Task<> wait_readable(asio::io_context& io, const UniqueFd& fd) {
  return wait_fd(io, fd, asio::posix::stream_descriptor::wait_read);
}
Task<> wait_writable(asio::io_context& io, const UniqueFd& fd) {
  return wait_fd(io, fd, asio::posix::stream_descriptor::wait_write);
}

Coro<void> sleep_for(asio::io_context& io, std::chrono::milliseconds time) {
  asio::steady_timer timer(io, time);
  co_await timer.async_wait(kToken);
}

}  // namespace coracle
