// Programs of ours that run where a container's processes can get at them. /proc/PID/exe of such a
// process leads to the program's file, and where the user owns the installation a container's root
// could write it once nobody executes it (and on a kernel without ETXTBSY at any time). So they are
// executed by a descriptor through which there is no way to write: of a read-only mount of the
// file, which is attached nowhere, or where the kernel refuses that, of a sealed copy in memory.
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

// Executed as proc_path() of it; kept open until then. What runs stays as it is sealed whatever
// becomes of the descriptor, and of the file at the path.
Result<UniqueFd> seal_program(const std::string& path);
// The copy in memory: it needs no rights over mounts.
Result<UniqueFd> copy_program_sealed(const std::string& path);
// Is this process executed from such a file (or from a file system that is read-only anyway)?
bool runs_sealed();

}  // namespace coracle
