// What the engine gives piece by piece.
#pragma once

#include <optional>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/face/container_options.hpp"
#include "engine/face/event.hpp"
#include "engine/face/log.hpp"

namespace coracle {

// Events since a moment, then live ones. Ends (nullopt) after `until`, or when the engine stops.
class EventStream {
 public:
  virtual ~EventStream() = default;
  virtual Task<std::optional<Event>> next() = 0;
};

// Batches of log lines in order; an empty batch is the end.
class LogStream {
 public:
  virtual ~LogStream() = default;
  virtual Task<std::vector<LogEntry>> next() = 0;
  bool tty = false;
};

// Armed when it is made; result() answers once the condition has come true.
class Waiter {
 public:
  virtual ~Waiter() = default;
  virtual Task<WaitResult> result() = 0;
};

}  // namespace coracle
