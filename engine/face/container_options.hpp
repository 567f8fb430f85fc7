// What operations on a container are told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/face/filters.hpp"

namespace coracle {

struct ListOptions {
  bool all = false;
  std::int64_t limit = 0;
  Filters filters;
};

enum class WaitCondition : std::uint8_t { not_running, next_exit, removed };
struct WaitResult {
  std::int32_t code = 0;
  std::string error;
};

struct StopOptions {
  std::optional<std::int64_t> timeout_s;  // absent: the container's own, or 10; negative: for ever
  std::string signal;                     // "": the container's stop signal
};

struct AttachOptions {
  bool stream = false, in = false, out = false, err = false, logs = false;
  bool raw = false;         // no frame headers, also without a tty (attach/ws)
  std::string detach_keys;  // "": ctrl-p,ctrl-q
};

}  // namespace coracle
