// Cloning a child of ours: what launch and join have in common.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/base/fd.hpp"
#include "engine/base/process.hpp"
#include "engine/base/result.hpp"

namespace coracle::runtime {

// clone3(2) with a pidfd; nothing in the child. The caller has one thread.
//   namespaces     CLONE_NEW* to be made
//   pid_namespace  null, or the namespace that the child is born in; ours stays as it is
Result<std::optional<Pidfd>> clone_child(std::uint64_t namespaces, const UniqueFd* pid_namespace);

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
