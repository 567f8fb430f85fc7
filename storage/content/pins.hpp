// Pins keep gc off what an operation in progress needs and no image or writable layer reaches yet.
// Keys are digests and chain ids. The order that makes it safe: pin, then look whether the thing is
// there; make the image (or the writable layer) known, then drop the pin.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace coracle::storage {

class Pins;

// A lease: what it names stays while it lives.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept;
  Pin& operator=(Pin&& other) noexcept;
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
  ~Pin() { drop(); }

  // More keys under the same pin.
  void add(const std::vector<std::string>& keys);
  void drop();

 private:
  friend class Pins;
  Pins* owner_ = nullptr;
  std::vector<std::string> keys_;
};

// Safe from any thread. Outlives its pins.
class Pins {
 public:
  Pin take(const std::vector<std::string>& keys);

  // For gc: begins a sweep. What is pinned now, or is pinned during it, is left alone until the
  // next one begins, so that it does not matter in which order gc reads pins and roots.
  void begin_sweep();
  // Runs `remove` unless the key is pinned or was during this sweep; nobody can pin meanwhile.
  template <class F>
  bool unless_pinned(const std::string& key, F remove) {
    const std::lock_guard lock(mutex_);
    if (touched_.contains(key)) return false;
    remove();
    return true;
  }

 private:
  friend class Pin;
  void count(const std::vector<std::string>& keys, int change);
  std::mutex mutex_;
  std::map<std::string, int> held_;
  std::set<std::string> touched_;
};

}  // namespace coracle::storage
