// What a process gives up before it reads hostile bytes, so that it is worth nothing to whoever
// takes it over: capabilities first, then files, then system calls. Each program says in its own
// sandbox file what it keeps, and why.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::sandbox {

// The sanitizers need other system calls, and read /proc when they report: built with them, a
// program keeps its files and system calls.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// Keeps of the capabilities only `kept` (CAP_*), in every set; sets no_new_privs; the process can
// be neither traced nor dumped afterwards. Before any thread.
Result<> keep_capabilities(std::span<const int> kept);

struct Place {
  int directory;         // a descriptor of it
  std::uint64_t rights;  // LANDLOCK_ACCESS_FS_*; those that this kernel does not know are left out
};
// All that landlock(7) can forbid on the newest kernel that we know.
std::uint64_t every_right();
// Does this kernel have landlock, with renames and links between directories (Linux 5.19)?
bool can_restrict_files();
// landlock(7): the calling thread does to files only what `places` allow. What is open stays open.
//   errors  unsupported (ENOSYS, EOPNOTSUPP) on kernels without it
Result<> restrict_files(std::span<const Place> places);

// What an argument of a system call must be: masked, the value; or below it.
struct Argument {
  unsigned index = 0;
  std::uint64_t mask = 0;  // 0: the whole argument, unsigned, is below `value`
  std::uint64_t value = 0;
};
constexpr Argument equal(unsigned index, std::uint64_t value) {
  return {index, ~std::uint64_t{0}, value};
}
constexpr Argument masked(unsigned index, std::uint64_t mask, std::uint64_t value) {
  return {index, mask, value};
}
constexpr Argument none_of(unsigned index, std::uint64_t bits) { return {index, bits, 0}; }
constexpr Argument below(unsigned index, std::uint64_t value) { return {index, 0, value}; }

struct Call {
  int number = 0;                   // SCMP_SYS(…)
  std::vector<Argument> arguments;  // all of them; each one once
};
// A seccomp allow-list for every thread; anything else is EPERM.
Result<> allow_system_calls(std::span<const int> always, std::span<const Call> sometimes);

}  // namespace coracle::sandbox
