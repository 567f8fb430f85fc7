// What coracle-unpack gives up before it reads a byte of what it was sent.
#pragma once

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::storage::unpacker {

// For inflating: no capability, no file, memory up to a bound; it reads, writes and ends.
Result<> confine_inflating();

// For unpacking into `root`: the capabilities over owners and modes, files below `root` alone
// (where the kernel has landlock with links between directories, Linux 5.19), no socket, no other
// process, no program.
Result<> confine_unpacking(const UniqueFd& root);

}  // namespace coracle::storage::unpacker
