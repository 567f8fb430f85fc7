// A bounded queue of bytes between the loop (a download) and a worker (LayerStore::ingest): the
// download is paused while it is full, so that memory stays flat however slow the disk is.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/result.hpp"
#include "storage/content/byte_source.hpp"

namespace coracle::storage {

class ByteQueue final : public ByteSource {
 public:
  enum class Push : std::uint8_t {
    taken,
    full,  // nothing was taken; `room` will be called
    gone,  // the reader has ended, or was given an error for its end
  };
  explicit ByteQueue(std::size_t capacity) : capacity_(capacity) {}

  // The writer's side, on the loop.
  // A piece is taken whole or not at all (one above the capacity when the queue is empty).
  Push push(std::string_view bytes);
  // No more bytes: the reader gets the end, or this error, when it has read what is there. The
  // first call counts.
  void end(Result<> how);
  [[nodiscard]] bool reader_left();
  // What is called, on the reader's thread, when there is room after `full`, or the reader is gone.
  void on_room(std::function<void()> room);

  // The reader's side, on a worker. read() blocks.
  Result<std::size_t> read(std::span<char> into) override;
  // The reader wants no more.
  void leave();

 private:
  std::function<void()> take_room_call();  // mutex_ held

  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable readable_;
  std::deque<std::string> pieces_;
  std::size_t taken_of_first_ = 0;
  std::size_t size_ = 0;
  bool full_ = false, gone_ = false;
  std::optional<Result<>> end_;
  std::function<void()> room_;
};

}  // namespace coracle::storage
