// Cloning a child of ours: what launch and join have in common.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/process.hpp"
#include "engine/base/result.hpp"

namespace coracle::runtime {

// A namespace to be entered by its file.
struct NamespaceFile {
  UniqueFd file;
  int type = 0;      // CLONE_NEW*
  std::string path;  // for errors
};

// What a process between us and the child does before it clones: it has our rights, and what it
// enters is the child's too, while ours stay as they are.
struct Between {
  struct Entry {
    int file = -1;  // borrowed
    int type = 0;   // CLONE_NEW*
  };
  std::vector<Entry> enter;           // in this order
  std::function<Result<>()> prepare;  // then; what it opens is the child's. Empty: nothing
  [[nodiscard]] bool needed() const { return !enter.empty() || prepare; }
};

// clone3(2) with a pidfd; nothing in the child. The caller has one thread.
//   namespaces  CLONE_NEW* to be made
Result<std::optional<Pidfd>> clone_child(std::uint64_t namespaces, const Between& between);

// Kills and reaps a child that did not get far enough.
class ChildGuard {
 public:
  explicit ChildGuard(const Pidfd& child) : child_(&child) {}
  ChildGuard(const ChildGuard&) = delete;
  ChildGuard& operator=(const ChildGuard&) = delete;
  ~ChildGuard();
  void release() { child_ = nullptr; }

 private:
  const Pidfd* child_;
};

}  // namespace coracle::runtime
