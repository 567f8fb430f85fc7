// What the fakes' streams wait for: a test says when it happens, and sees when a wait was cancelled.
#pragma once

#include <atomic>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"

namespace coracle::test {

class Happenings {
 public:
  explicit Happenings(asio::io_context& io) : io_(io), happened_(io) {}

  // Lets waiters, followers and event streams go on (from any thread).
  void happen() {
    ++count;
    asio::post(io_, [this] { happened_.notify_all(); });
  }
  // Waits for one that `seen` did not count.
  //   errors  unavailable: cancelled
  Task<> next(int seen) {
    while (count == seen) {
      const bool heard = co_await happened_.wait();
      if (heard) continue;
      cancelled = true;
      co_return fail(Errc::unavailable, "cancelled");
    }
    co_return Result<>{};
  }

  std::atomic<int> count{0};
  std::atomic<int> streams_open{0};
  std::atomic<bool> cancelled{false};

 private:
  asio::io_context& io_;
  Signal happened_;
};

// A stream that the test counts as open while it lives.
class OpenStream {
 public:
  explicit OpenStream(Happenings& happenings) : happenings_(happenings) {
    ++happenings_.streams_open;
  }
  OpenStream(const OpenStream&) = delete;
  OpenStream& operator=(const OpenStream&) = delete;
  ~OpenStream() { --happenings_.streams_open; }

  // What has not happened yet when the stream was made.
  Task<> next_happening() { return happenings_.next(seen_); }

 private:
  Happenings& happenings_;
  int seen_ = happenings_.count;
};

}  // namespace coracle::test
