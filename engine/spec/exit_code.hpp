// The exit code that Docker gives a process which could not be started.
#pragma once

#include <cerrno>
#include <cstdint>

#include "engine/base/result.hpp"

namespace coracle {

// 127: what was to be run, or a file that it needs, is not there. 126: it may not be run. 128: all
// else. By the error's errno, which crosses from process to process with it.
inline std::int32_t exit_code_of_failed_start(const Error& e) {
  constexpr std::int32_t kNotFound = 127, kNotRunnable = 126, kOther = 128;
  switch (e.sys) {
    case ENOENT: return kNotFound;
    case EACCES:
    case EISDIR: return kNotRunnable;
    default: return kOther;
  }
}

}  // namespace coracle
