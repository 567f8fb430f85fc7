// The file of a log, and its rotation. Whole lines are put behind its end; one that is full is
// renamed to path.1 (path.1 to path.2, …; the last of max_file goes) and a new one is begun. A file
// is never cut, so that a follower that has it open reads it to its end.
//
// compress: a child makes path.gz-new of the oldest uncompressed one, at its leisure. When it has
// ended the file's number is looked up anew (there may have been rotations), path.gz-new is renamed
// to path.N.gz, and path.N goes: at each moment one of both is there. What is found of an
// interrupted compression at open() is tidied up.
//
// Followers (logs/reader) hold a shared flock(2) on the log's directory. While somebody
// does, a file that was written to in the last kGrace_ms is not removed by rotation, however small
// max_size and max_file are: everybody has time to open it. A follower that has come no further
// (its client reads slowly, or is stopped) holds a shared flock(2) on the newest file that it has
// open: that one stays with all newer ones, and it finds them when it goes on. This is bounded, by
// kMaxHeld bytes of a log. Those beyond max_file go later.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::monitor {

class LogFile {
 public:
  struct Limits {
    std::int64_t max_size = 0;  // bytes; 0: no rotation
    int max_file = 1;
    bool compress = false;
  };
  static constexpr int kGrace_ms = 2000;
  static constexpr int kMaxGrace = 200;                              // files beyond max_file
  static constexpr std::int64_t kMaxHeld = std::int64_t{256} << 20;  // bytes beyond max_file

  LogFile() = default;
  // errors: it cannot be made or opened
  static Result<LogFile> open(std::string path, Limits limits);

  // Writes whole lines; rotates before, when it is full. After an error nothing of them is there.
  Result<> append(std::string_view lines);
  // Would it be full with so many more bytes?
  [[nodiscard]] bool full_with(std::size_t more) const {
    return limits_.max_size > 0 && size_ + static_cast<std::int64_t>(more) >= limits_.max_size;
  }
  // A moment of rest: removes what was kept for followers.
  void tidy();
  // The child that compresses; 0: none.
  [[nodiscard]] pid_t helper() const { return compressor_; }
  // A child of ours has ended. False: it was not the helper.
  bool child_ended(pid_t pid, int code);

 private:
  [[nodiscard]] std::string name(int number, bool compressed = false) const;
  [[nodiscard]] int last_number() const;
  [[nodiscard]] bool is_young(int number) const;
  [[nodiscard]] bool is_followed() const;
  [[nodiscard]] bool is_held(int number) const;
  // May it, which is one too many, not go yet? `followed`: somebody follows the log.
  [[nodiscard]] bool must_stay(int number, bool followed) const;
  Result<> reopen();
  Result<> rotate();
  void remove(int number);
  void clean_up();
  void compress_next();
  [[nodiscard]] std::string unfinished() const { return path_ + ".gz-new"; }

  std::string path_;
  Limits limits_;
  UniqueFd file_;
  std::int64_t size_ = 0;
  pid_t compressor_ = 0;
  int compressing_ = 0;  // number of its file by now; 0: that was removed
};

}  // namespace coracle::monitor
