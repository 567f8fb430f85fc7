// Writes lines to systemd's journal, by its native protocol: a datagram an entry, fields as
// "KEY=value\n". See https://systemd.io/JOURNAL_NATIVE_PROTOCOL.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::monitor {

class JournalWriter {
 public:
  JournalWriter() = default;
  //   fields  "KEY=value", sent with every entry
  //   errors  there is no journal
  static Result<JournalWriter> open(const std::string& socket_path,
                                    const std::vector<std::string>& fields);

  // One line without its newline. A journal that is busy is waited for, kBusy_ms at most.
  //   partial  the line goes on in the next entry
  Result<> write(int priority, std::string_view text, bool partial);

  static constexpr int kBusy_ms = 500;

 private:
  Result<> connect();

  std::string path_;
  std::string fields_;
  UniqueFd socket_;
};

}  // namespace coracle::monitor
