// The keeper's few lines, on stderr (<exec-root>/keeper.log): spdlog would cost it more memory than
// all the rest.
#pragma once

#include <unistd.h>

#include <string>
#include <utility>

#include <fmt/core.h>

#include "engine/base/fd.hpp"
#include "engine/base/ident.hpp"

namespace coracle::rootless {

template <class... Args>
void keeper_log(fmt::format_string<Args...> text, Args&&... args) {
  const auto line = fmt::format("{} coracle-keeper[{}] {}\n", to_rfc3339_fixed(now()), ::getpid(),
                                fmt::format(text, std::forward<Args>(args)...));
  // A log that cannot be written is no reason to do anything else.
  [[maybe_unused]] const auto n = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace coracle::rootless
