// Writes a container's output where its log driver wants it. json-file and local: one JSON object a
// line, in a file that is rotated (log_file),
//   {"log":"text\n","stream":"stdout","attrs":{"k":"v"},"time":"2026-01-02T03:04:05.678901234Z"}
// Lines longer than 16 KiB are split (all parts but the last lack the "\n"); bytes that are no
// UTF-8 become U+FFFD; <, > and & are escaped, as Docker writes them. What one read brought is one
// write; there is no fsync. The reader is logs/reader. journald: an entry a line, or a
// part of a long line (journal_writer).
//
// A log that cannot be written (full disk) never holds the container back: the lines are counted as
// lost, the file is cut back to its last whole line, and the next write tries again.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/ident.hpp"
#include "engine/base/result.hpp"
#include "engine/monitor/protocol.hpp"
#include "engine/monitor/streams/journal_writer.hpp"
#include "engine/monitor/streams/log_file.hpp"

namespace coracle::monitor {

enum class Stream : std::uint8_t { out = 1, err = 2 };  // the numbers of Docker's frames

class LogWriter {
 public:
  // errors: the file cannot be made or opened
  static Result<LogWriter> open(const LogOptions& options);

  // Takes output as it came from the process.
  void write(Stream stream, std::string_view data);
  // Writes what is left of lines without an end.
  void finish();
  // A moment of rest: gives unused memory back, and files that are not needed any more.
  void trim();
  // A child that works for the log, and is no part of the container; 0: none.
  [[nodiscard]] pid_t helper() const { return file_.helper(); }
  bool child_ended(pid_t pid, int code) { return file_.child_ended(pid, code); }
  [[nodiscard]] std::uint64_t lost_lines() const { return lost_; }

 private:
  void add_lines(Stream stream, std::string_view data);
  void add_entry(Stream stream, std::string_view text);
  void flush();
  void write_to_journal(Stream stream, std::string_view text);
  void lose(int reason);
  void found_again();

  enum class Kind : std::uint8_t { none, file, journal };
  Kind kind_ = Kind::none;
  std::string path_;   // of the file, or of the journal's socket
  std::string attrs_;  // ,"attrs":{…} or empty
  LogFile file_;
  JournalWriter journal_;
  std::array<std::string, 2> partial_;  // the line that has begun, of each stream
  std::string batch_;                   // encoded, not yet written
  std::uint64_t batch_lines_ = 0;
  std::uint64_t lost_ = 0;
  bool losing_ = false;
  Time last_;  // times never stand still: two entries can be told apart by them
};

}  // namespace coracle::monitor
