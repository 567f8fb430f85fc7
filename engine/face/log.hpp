// A container's log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ident.hpp"

namespace coracle {

struct LogOptions {
  bool out = false, err = false, follow = false;
  Time since, until;                  // 0: unbounded
  std::optional<std::uint64_t> tail;  // lines from the end
};
struct LogEntry {
  bool is_err = false;
  Time time;
  std::string text;                // with its newline, if it had one
  std::vector<std::string> attrs;  // "k=v", for `details`
};

}  // namespace coracle
