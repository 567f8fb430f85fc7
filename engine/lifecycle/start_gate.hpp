// How many containers are set up at the same time. More than the processors can carry only take
// turns at them: all come up later, and what else is asked of the daemon waits behind them.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

#include "engine/base/async/async.hpp"

namespace coracle {

// First come, first served. Who has waited for `patience` goes in although it is full: a start that
// hangs (a mount of a file system that does not answer) holds up nobody for long. The gate must
// outlive its waiters.
class StartGate {
 public:
  class Pass {
   public:
    explicit Pass(StartGate* gate) : gate_(gate) {}
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->leave();
    }

   private:
    StartGate* gate_;
  };
  StartGate(asio::io_context& io, std::size_t places, std::chrono::milliseconds patience)
      : io_(io), places_(places), patience_(patience) {}

  // A cancelled waiter gets its pass too, as with AsyncMutex.
  Coro<Pass> enter();
  [[nodiscard]] std::size_t inside() const { return inside_; }

 private:
  struct Waiting {
    explicit Waiting(asio::io_context& io) : wake(io) {}
    asio::steady_timer wake;
    bool called = false;  // its place is counted already
  };
  void leave();

  asio::io_context& io_;
  std::size_t places_;
  std::chrono::milliseconds patience_;
  std::size_t inside_ = 0;
  std::deque<std::shared_ptr<Waiting>> waiting_;
};

}  // namespace coracle
