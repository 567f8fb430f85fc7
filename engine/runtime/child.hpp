// Cloning a child of ours: what launch and join have in common.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
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
struct Intermediate {
  struct Entry {
    int file = -1;  // borrowed
    int type = 0;   // CLONE_NEW*
  };
  std::vector<Entry> enter;           // in this order
  std::function<Result<>()> prepare;  // then; what it opens is the child's. Empty: nothing
  [[nodiscard]] bool needed() const { return !enter.empty() || prepare; }
};

// Enters and prepares, in this process.
Result<> enter(const Intermediate& intermediate);

// clone3(2) with a pidfd; nothing in the child. The caller has one thread.
//   namespaces  CLONE_NEW* to be made
Result<std::optional<Pidfd>> clone_child(std::uint64_t namespaces,
                                         const Intermediate& intermediate);

// For a child that another container sees from its first moment (it is born in that one's pid
// namespace, and a process there may trace it): all that takes descriptors is done before, in a
// process that nobody there sees, and the child has none of it.
//
//   parent                     setter (clone_child({}))         child
//   make(), clones         ->
//                              enters the namespaces, sets up,
//                              closes what the child is not
//                              to have
//                              bear()                       ->  our child (CLONE_PARENT), in the
//   child()                <-  ends                             pid namespace that the setter had
//                                                               entered for its children
//
// The child's number is told in memory that the child does not inherit; it stays the child's until
// we reap it.
class Birth {
 public:
  static Result<Birth> make();
  Birth(Birth&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
  Birth& operator=(Birth&&) = delete;
  Birth(const Birth&) = delete;
  Birth& operator=(const Birth&) = delete;
  ~Birth();

  // In the setter, which ends here; returns in the child.
  void bear() const;
  // In the parent: reaps the setter.
  [[nodiscard]] Result<Pidfd> child(const Pidfd& setter) const;

 private:
  struct Page;
  explicit Birth(Page* page) : page_(page) {}
  Page* page_ = nullptr;
};

// Kills and reaps a child that did not get far enough.
class ChildGuard {
 public:
  ChildGuard() = default;
  explicit ChildGuard(const Pidfd& child) : child_(&child) {}
  ChildGuard(const ChildGuard&) = delete;
  ChildGuard& operator=(const ChildGuard&) = delete;
  ~ChildGuard();
  void watch(const Pidfd& child) { child_ = &child; }
  void release() { child_ = nullptr; }

 private:
  const Pidfd* child_ = nullptr;
};

}  // namespace coracle::runtime
