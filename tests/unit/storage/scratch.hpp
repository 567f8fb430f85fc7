// A directory of the test's own below /tmp, and small helpers to fill it.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "engine/base/async/async.hpp"
#include "engine/base/file.hpp"

namespace coracle {

class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/coracle-test-XXXXXX";
    if (::mkdtemp(name) != nullptr) path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { static_cast<void>(remove_tree(path_)); }
  [[nodiscard]] const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void put(const std::string& path, const std::string& text) {
  const auto done = write_file_atomic(path, text, 0644, Durability::unsynced);
  ASSERT_TRUE(done) << done.error().message;
}
inline std::string get(const std::string& path) {
  const auto text = read_file(path);
  return text ? *text : "(" + text.error().message + ")";
}
inline void mkdirs(const std::string& path) {
  const auto done = make_dirs(path, 0755);
  ASSERT_TRUE(done) << done.error().message;
}
inline std::string names(const std::string& dir) {
  const auto list = list_dir(dir);
  if (!list) return "(" + list.error().message + ")";
  std::string out;
  for (const auto& n : *list) out += (out.empty() ? "" : " ") + n;
  return out;
}

// A loop that runs until a coroutine has ended.
template <class T>
Coro<void> keep_result(Coro<T> coroutine, std::optional<T>& into) {
  into.emplace(co_await std::move(coroutine));
}
template <class T>
T run(asio::io_context& io, Coro<T> coroutine) {
  std::optional<T> result;
  Scope scope(io);
  scope.start("test", keep_result(std::move(coroutine), result));
  io.restart();
  while (!result && io.run_one() > 0) {
  }
  return std::move(*result);
}
inline void run(asio::io_context& io, Coro<void> coroutine) {
  Scope scope(io);
  scope.start("test", std::move(coroutine));
  io.restart();
  while (scope.running() > 0 && io.run_one() > 0) {
  }
}

}  // namespace coracle
