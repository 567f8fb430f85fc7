// What is done at the end of a scope, however that is left.
#pragma once

#include <utility>

namespace coracle {

//   Defer undo([&] { take_back(); });
//   …
//   undo.release();  // it came to its end: not done
template <class F>
class [[nodiscard]] Defer {
 public:
  explicit Defer(F what) : what_(std::move(what)) {}
  Defer(const Defer&) = delete;
  Defer& operator=(const Defer&) = delete;
  ~Defer() {
    if (armed_) what_();
  }
  void release() { armed_ = false; }

 private:
  F what_;
  bool armed_ = true;
};

}  // namespace coracle
