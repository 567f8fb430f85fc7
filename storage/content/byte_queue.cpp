#include "storage/content/byte_queue.hpp"

#include <algorithm>
#include <cstring>

namespace coracle::storage {

ByteQueue::Push ByteQueue::push(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (gone_ || (end_ && !*end_)) return Push::gone;
  if (size_ > 0 && size_ + bytes.size() > capacity_) {
    full_ = true;
    return Push::full;
  }
  if (bytes.empty()) return Push::taken;
  pieces_.emplace_back(bytes);
  size_ += bytes.size();
  readable_.notify_one();
  return Push::taken;
}

void ByteQueue::end(Result<> how) {
  const std::lock_guard lock(mutex_);
  if (!end_) end_ = std::move(how);
  readable_.notify_one();
}

bool ByteQueue::reader_left() {
  const std::lock_guard lock(mutex_);
  return gone_;
}

void ByteQueue::on_room(std::function<void()> room) {
  const std::lock_guard lock(mutex_);
  room_ = std::move(room);
}

std::function<void()> ByteQueue::take_room_call() {
  if (!full_) return {};
  full_ = false;
  return room_;
}

Result<std::size_t> ByteQueue::read(std::span<char> into) {
  std::function<void()> room;
  std::size_t n = 0;
  {
    std::unique_lock lock(mutex_);
    readable_.wait(lock, [this] { return size_ > 0 || end_; });
    if (size_ == 0) {
      if (*end_) return std::size_t{0};
      return std::unexpected(end_->error());
    }
    while (n < into.size() && size_ > 0) {
      const std::string& first = pieces_.front();
      const std::size_t part = std::min(first.size() - taken_of_first_, into.size() - n);
      std::memcpy(into.data() + n, first.data() + taken_of_first_, part);
      n += part;
      size_ -= part;
      taken_of_first_ += part;
      if (taken_of_first_ == first.size()) {
        pieces_.pop_front();
        taken_of_first_ = 0;
      }
    }
    if (size_ <= capacity_ / 2) room = take_room_call();
  }
  if (room) room();
  return n;
}

void ByteQueue::leave() {
  std::function<void()> room;
  {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    pieces_.clear();
    size_ = 0;
    room = take_room_call();
  }
  if (room) room();
}

}  // namespace coracle::storage
