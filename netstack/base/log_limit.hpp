// Keeps the log small: it lies in memory (tmpfs), and containers can cause lines.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "engine/base/epoll_loop.hpp"

namespace coracle::netstack {

// Lets a line of one kind into the log at most once a minute.
class Seldom {
 public:
  // Nothing: not now. Else what to add to the line: how often it was left out since the last one.
  std::optional<std::string> now(Loop::Clock::time_point at = Loop::Clock::now());

 private:
  std::optional<Loop::Clock::time_point> last_;
  std::size_t left_out_ = 0;
};

// Empties the file when it has more than so many bytes; nothing for a pipe or a terminal. Writers
// append (O_APPEND), so that the next line is its first. True: it was emptied.
bool empty_when_above(int fd, std::size_t bytes);

}  // namespace coracle::netstack
