#include "engine/lifecycle/start_gate.hpp"

namespace coracle {

Coro<StartGate::Pass> StartGate::enter() {
  if (inside_ < places_) {
    ++inside_;
    co_return Pass(this);
  }
  auto mine = std::make_shared<Waiting>(io_);
  waiting_.push_back(mine);
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  mine->wake.expires_after(patience_);
  co_await mine->wake.async_wait(kToken);
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
  if (!mine->called) {
    std::erase(waiting_, mine);
    ++inside_;
  }
  co_return Pass(this);
}

void StartGate::leave() {
  --inside_;
  if (waiting_.empty() || inside_ >= places_) return;
  auto next = waiting_.front();
  waiting_.pop_front();
  next->called = true;
  ++inside_;
  next->wake.cancel();
}

}  // namespace coracle
