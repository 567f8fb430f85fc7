// Trees as a hostile container makes them: deeper than any path, deeper than any stack.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>

#include <pthread.h>
#include <stdlib.h>

#include "engine/base/fd.hpp"
#include "engine/base/file.hpp"

namespace coracle::test {

// In memory, where 100,000 directories take a moment; it goes with the test.
class MemoryScratch {
 public:
  MemoryScratch() {
    std::string text = "/dev/shm/coracle-test-XXXXXX";
    if (::mkdtemp(text.data()) != nullptr) path_ = text;
  }
  MemoryScratch(const MemoryScratch&) = delete;
  MemoryScratch& operator=(const MemoryScratch&) = delete;
  ~MemoryScratch() { static_cast<void>(remove_tree(path_)); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// `depth` directories of that name, one in the other, below the directory `top`; a file "end" of
// four bytes in the last. False when the file system refuses.
inline bool make_deep(const std::string& top, const std::string& name, int depth) {
  UniqueFd at(::open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < depth; ++i) {
    if (::mkdirat(at.get(), name.c_str(), 0755) != 0) return false;
    at = UniqueFd(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!at) return false;
  }
  const UniqueFd end(::openat(at.get(), "end", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  return ::write(end.get(), "1234", 4) == 4;
}

// How deep the names lead below `top`; -1 when there is no "end" in the last.
inline int depth_of(const std::string& top, const std::string& name) {
  UniqueFd at(::open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int depth = 0;; ++depth) {
    UniqueFd next(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!next) return ::faccessat(at.get(), "end", F_OK, 0) == 0 ? depth : -1;
    at = std::move(next);
  }
}

// The most memory this process has had resident, in KiB, since forget_peak().
inline void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }
inline long peak_kib() {
#ifdef __SANITIZE_ADDRESS__
  return 0;  // the sanitizer keeps what was freed: its figures say nothing of ours
#else
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
  }
  return -1;
#endif
}

// Runs it on a thread with a stack of 64 KiB.
template <class F>
void with_small_stack(F function) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::size_t{64} << 10);
  pthread_t thread{};
  const auto start = [](void* f) -> void* {
    (*static_cast<F*>(f))();
    return nullptr;
  };
  if (pthread_create(&thread, &attributes, start, &function) == 0) pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

}  // namespace coracle::test
