// Reads a container's log from systemd's journal. Opened anew at each read, since a journal may
// only be used by one thread (sd_journal_open(3)), and workers are several.
#pragma once

#include <string>

#include "engine/logs/source.hpp"

namespace coracle {

// Is there anything of the journal that we may read? Blocks.   errors  unavailable, with the remedy
Result<> check_journal();

class LogJournal final : public LogSource {
 public:
  //   id  the container's, full
  LogJournal(std::string id, LogOptions options) : id_(std::move(id)), options_(options) {}
  //   errors  unavailable: there is no journal that we may read
  Result<std::vector<LogEntry>> read() override;
  std::vector<LogEntry> take_unfinished() override;
  [[nodiscard]] std::chrono::milliseconds delay() const override { return kDelay; }
  [[nodiscard]] bool past_until() const override { return past_until_; }

 private:
  static constexpr std::chrono::milliseconds kDelay{500};  // journald is another process

  std::string id_;
  LogOptions options_;
  std::string cursor_;  // of the last entry that was read; "": none
  LogEntry unfinished_;
  bool any_unfinished_ = false;
  bool past_until_ = false;
};

}  // namespace coracle
