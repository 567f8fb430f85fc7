#include "storage/content/upload_queue.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace coracle::storage {

std::function<void()> UploadQueue::take_more_call() {
  return std::exchange(hungry_, false) ? more_ : std::function<void()>();
}

Result<> UploadQueue::push(std::string_view bytes) {
  std::unique_lock lock(mutex_);
  writable_.wait(lock, [this] { return gone_ || size_ < capacity_; });
  if (gone_) return fail(Errc::unavailable, "the upload has ended");
  pieces_.emplace_back(bytes);
  size_ += bytes.size();
  const auto call = take_more_call();
  lock.unlock();
  if (call) call();
  return {};
}

void UploadQueue::end(Result<> how) {
  std::unique_lock lock(mutex_);
  if (end_) return;
  end_ = std::move(how);
  const auto call = take_more_call();
  lock.unlock();
  if (call) call();
}

UploadQueue::Take UploadQueue::take(std::span<char> into, std::size_t* taken) {
  *taken = 0;
  const std::lock_guard lock(mutex_);
  while (*taken < into.size() && !pieces_.empty()) {
    const auto& piece = pieces_.front();
    const std::size_t n = std::min(into.size() - *taken, piece.size() - taken_of_first_);
    std::memcpy(into.data() + *taken, piece.data() + taken_of_first_, n);
    *taken += n;
    taken_of_first_ += n;
    size_ -= n;
    if (taken_of_first_ == piece.size()) {
      pieces_.pop_front();
      taken_of_first_ = 0;
    }
  }
  if (*taken > 0) {
    writable_.notify_one();
    return Take::some;
  }
  if (end_) return *end_ ? Take::end : Take::failed;
  hungry_ = true;
  return Take::none_yet;
}

bool UploadQueue::has_failed() {
  const std::lock_guard lock(mutex_);
  return end_ && !*end_;
}

Error UploadQueue::why() {
  const std::lock_guard lock(mutex_);
  return end_ && !*end_ ? end_->error() : Error{Errc::internal, 0, "the upload has not failed"};
}

void UploadQueue::on_more(std::function<void()> more) {
  const std::lock_guard lock(mutex_);
  more_ = std::move(more);
}

void UploadQueue::leave() {
  const std::lock_guard lock(mutex_);
  gone_ = true;
  pieces_.clear();
  size_ = 0;
  more_ = nullptr;
  writable_.notify_one();
}

}  // namespace coracle::storage
