// A bounded queue of byte chunks between two threads: one fills, one empties, each at its own pace.
// The buffers are made once and go round.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>

#include "engine/base/result.hpp"

namespace coracle::storage {

class ChunkRing {
 public:
  static constexpr std::size_t kChunk = std::size_t{256} << 10;
  static constexpr std::size_t kChunks = 8;
  ChunkRing();

  // -- the filling thread
  // Waits for a free buffer. Empty when the reader has gone.
  std::span<char> free_chunk();
  // Hands over the first `size` bytes of it. `mark` is any number that goes with it.
  void publish(std::size_t size, std::int64_t mark);
  // No more comes, for this reason. Called once, after the last publish.
  void finish(Result<> how);

  // -- the emptying thread
  struct Chunk {
    std::string_view bytes;  // valid until the next call; empty: the end
    std::int64_t mark = 0;
  };
  Result<Chunk> next();
  // Reads no more: the filling thread hears it.
  void abandon();

 private:
  struct Slot {
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
    std::int64_t mark = 0;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  std::array<Slot, kChunks> slots_;
  std::size_t filled_ = 0;   // chunks published, ever
  std::size_t emptied_ = 0;  // chunks given back, ever
  bool lent_ = false;        // the reader holds slot emptied_
  bool abandoned_ = false;
  std::optional<Result<>> end_;
};

}  // namespace coracle::storage
