// A bounded queue of bytes from a thread (which reads a blob, or compresses one) to the loop (an
// upload): ByteQueue the other way round. The thread waits while it is full, the loop never.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/result.hpp"

namespace coracle::storage {

class UploadQueue {
 public:
  explicit UploadQueue(std::size_t capacity) : capacity_(capacity) {}

  // The writer's side, on its thread. push() waits for room.
  //   errors  unavailable: the reader has left
  Result<> push(std::string_view bytes);
  // No more bytes come: the reader gets the end, or this error, after what is there.
  void end(Result<> how);

  // The reader's side, on the loop.
  enum class Take : std::uint8_t {
    some,
    none_yet,  // `more` will be called
    end,
    failed,  // why() tells
  };
  Take take(std::span<char> into, std::size_t* taken);
  [[nodiscard]] bool has_failed();
  [[nodiscard]] Error why();
  // What is called, on the writer's thread, when there is something after `none_yet`.
  void on_more(std::function<void()> more);
  // The reader wants no more.
  void leave();

 private:
  std::function<void()> take_more_call();  // mutex_ held

  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable writable_;
  std::deque<std::string> pieces_;
  std::size_t taken_of_first_ = 0;
  std::size_t size_ = 0;
  bool hungry_ = false, gone_ = false;
  std::optional<Result<>> end_;
  std::function<void()> more_;
};

}  // namespace coracle::storage
