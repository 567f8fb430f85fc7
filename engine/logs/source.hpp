// Where a log is read from: files (log_files), or systemd's journal (log_journal). Blocks: for
// workers.
#pragma once

#include <chrono>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/face/types.hpp"

namespace coracle {

class LogSource {
 public:
  virtual ~LogSource() = default;
  // The next entries, a bounded number; parts of long lines are joined. Empty: there is no more
  // just now.
  virtual Result<std::vector<LogEntry>> read() = 0;
  // What is left of a line whose end has not been written.
  virtual std::vector<LogEntry> take_unfinished() = 0;
  // How long it may take until what was written can be read.
  [[nodiscard]] virtual std::chrono::milliseconds delay() const { return {}; }
  // An entry later than `until` was seen: nothing else will come.
  [[nodiscard]] virtual bool past_until() const = 0;
};

}  // namespace coracle
