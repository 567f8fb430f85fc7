#include "storage/content/chunk_ring.hpp"

namespace coracle::storage {

ChunkRing::ChunkRing() {
  for (auto& slot : slots_) slot.bytes = std::make_unique_for_overwrite<char[]>(kChunk);
}

std::span<char> ChunkRing::free_chunk() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return abandoned_ || filled_ - emptied_ < kChunks; });
  if (abandoned_) return {};
  return {slots_[filled_ % kChunks].bytes.get(), kChunk};
}

void ChunkRing::publish(std::size_t size, std::int64_t mark) {
  const std::lock_guard lock(mutex_);
  auto& slot = slots_[filled_ % kChunks];
  slot.size = size;
  slot.mark = mark;
  ++filled_;
  changed_.notify_all();
}

void ChunkRing::finish(Result<> how) {
  const std::lock_guard lock(mutex_);
  end_ = std::move(how);
  changed_.notify_all();
}

Result<ChunkRing::Chunk> ChunkRing::next() {
  std::unique_lock lock(mutex_);
  if (lent_) {
    lent_ = false;
    ++emptied_;
    changed_.notify_all();
  }
  changed_.wait(lock, [this] { return end_.has_value() || filled_ > emptied_; });
  if (filled_ > emptied_) {
    lent_ = true;
    const auto& slot = slots_[emptied_ % kChunks];
    return Chunk{{slot.bytes.get(), slot.size}, slot.mark};
  }
  if (!*end_) return std::unexpected(end_->error());
  return Chunk{};
}

void ChunkRing::abandon() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  changed_.notify_all();
}

}  // namespace coracle::storage
