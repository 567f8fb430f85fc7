#include "storage/content/pins.hpp"

#include <utility>

namespace coracle::storage {

Pin::Pin(Pin&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)), keys_(std::move(other.keys_)) {}

Pin& Pin::operator=(Pin&& other) noexcept {
  if (this != &other) {
    drop();
    owner_ = std::exchange(other.owner_, nullptr);
    keys_ = std::move(other.keys_);
  }
  return *this;
}

void Pin::add(const std::vector<std::string>& keys) {
  owner_->count(keys, 1);
  keys_.insert(keys_.end(), keys.begin(), keys.end());
}

void Pin::drop() {
  if (owner_ != nullptr) owner_->count(keys_, -1);
  owner_ = nullptr;
  keys_.clear();
}

Pin Pins::take(const std::vector<std::string>& keys) {
  Pin pin;
  pin.owner_ = this;
  pin.add(keys);
  return pin;
}

void Pins::begin_sweep() {
  const std::lock_guard lock(mutex_);
  touched_.clear();
  for (const auto& [key, count] : held_) touched_.insert(key);
}

void Pins::count(const std::vector<std::string>& keys, int change) {
  const std::lock_guard lock(mutex_);
  for (const auto& key : keys) {
    if (change > 0) touched_.insert(key);
    if ((held_[key] += change) <= 0) held_.erase(key);
  }
}

}  // namespace coracle::storage
