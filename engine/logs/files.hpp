// Reads a container's json-file or local log (monitor/streams/log_writer) with its rotated files,
// oldest first, without an event loop: what is here may take its time, and runs in a worker
// (log_reader).
//
// Rotation renames, and never cuts: the files are opened newest first, so that one which is renamed
// meanwhile is met twice, never missed; and known by their inodes, which cannot be given to another
// while they are open. One that was compressed meanwhile has another inode, but the same first
// line, and no two lines of a log have the same time. A compressed file is unpacked into a
// nameless one when it comes to be read.
//
// A follower has the newest file that it opened locked (flock(2), shared): rotation leaves that one
// and all newer ones where they are, up to a bound (monitor/streams/log_file), so that a slow
// client loses nothing. When the bound was passed, the log of the daemon says so.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/result.hpp"
#include "engine/face/types.hpp"
#include "engine/logs/source.hpp"

namespace coracle {

// One line of the file. errors: invalid_argument when it is damaged
Result<LogEntry> parse_log_line(std::string_view line);

class LogFiles final : public LogSource {
 public:
  // `out`, `err`, `since` and `until` choose entries; `tail` counts those of the chosen streams.
  LogFiles(std::string path, LogOptions options)
      : path_(std::move(path)), options_(std::move(options)) {}

  // A log that does not exist is one that is empty. Damaged lines are left out.
  Result<std::vector<LogEntry>> read() override;
  std::vector<LogEntry> take_unfinished() override;
  [[nodiscard]] bool past_until() const override { return past_until_; }

 private:
  struct File {
    UniqueFd fd;              // what is in it, plain; none before unpack()
    UniqueFd packed;          // the .gz
    bool compressed = false;  // by its name
    dev_t device = 0;
    ino_t inode = 0;
    off_t at = 0;
  };
  struct Unfinished {
    LogEntry entry;
    bool any = false;
  };

  static Result<std::optional<File>> open_file(const std::string& path);
  static bool same(const File& a, const File& b);
  static Time first_time(const File& file);
  Result<> unpack(File& file) const;
  // Puts behind `chain_` the files that are newer than its last one (all, when it is empty).
  Result<> find_newer();
  // Locks the newest file of the chain, in place of what was the newest.
  void hold_newest();
  Result<> seek_tail();
  Result<std::optional<off_t>> seek_tail_in(const File& file, std::uint64_t& wanted) const;
  Result<bool> read_block(std::vector<LogEntry>& into);
  void take_line(std::string_view line, std::vector<LogEntry>& into);
  void join(LogEntry entry, std::vector<LogEntry>& into);
  [[nodiscard]] bool wanted_stream(bool is_err) const {
    return is_err ? options_.err : options_.out;
  }

  std::string path_;
  LogOptions options_;
  bool opened_ = false;
  int held_ = -1;           // borrowed from the chain's newest file; -1: none
  std::deque<File> chain_;  // the front is being read
  std::string carry_;       // a line whose end is not read yet
  std::array<Unfinished, 2> unfinished_;
  bool past_until_ = false;
};

}  // namespace coracle
