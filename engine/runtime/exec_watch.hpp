// How the parent learns that execve(2) succeeded, or why it did not, from a child that holds no
// descriptor for it. Whatever is open when a container's program is looked up can be named by the
// container, as /proc/self/fd/N: so nothing is, not even a socket for the report.
//
//   parent                                   child
//   make(): shared memory, inherited     ->
//                                            arm(): a word in it is a robust futex that it holds
//   await(): waits on the word           <-  execve(2) and every end of a process let go of it (the
//                                            kernel marks the word and wakes us; see
//                                            get_robust_list(2))
//   reads the error, if there is one     <-  fail(): writes the error first, then ends
//
// What stands in the memory is the child's word alone: a container that may trace processes
// (SYS_PTRACE) can have written it. It is bounded, and believed of that container only.
#pragma once

#include <utility>

#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"

namespace coracle::runtime {

class ExecWatch {
 public:
  static Result<ExecWatch> make();

  ExecWatch(ExecWatch&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
  ExecWatch& operator=(ExecWatch&& other) noexcept;
  ExecWatch(const ExecWatch&) = delete;
  ExecWatch& operator=(const ExecWatch&) = delete;
  ~ExecWatch();

  // In the process that will execve, before its seccomp filter; it has one thread.
  [[nodiscard]] Result<> arm() const;
  // In the same: tells the parent why there is no program, and ends.
  [[noreturn]] void fail(const Error& error) const;

  // In the parent, which need not know the child: blocks until that has become its program or has
  // ended, for a moment at most. Is it so?
  [[nodiscard]] bool over_in_a_moment() const;
  // In the parent: blocks until the child has become its program or has ended.
  //   errors  the child's own; unavailable: it did neither for a minute, and was killed
  [[nodiscard]] Result<> await(const Pidfd& child) const;

 private:
  struct Page;
  explicit ExecWatch(Page* page) : page_(page) {}
  Page* page_ = nullptr;
};

}  // namespace coracle::runtime
