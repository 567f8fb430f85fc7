// `docker logs`: tail, since, until, follow. The files are read by workers (log_files); following
// sleeps until something changes in the log's directory (inotify; where the user has used up what
// the kernel grants of it, it looks four times a second).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/ident.hpp"
#include "engine/face/types.hpp"
#include "engine/logs/source.hpp"

namespace coracle {

// Tells of changes in directories. One for all followers: inotify instances are few (128 a user).
class LogWatch {
 public:
  LogWatch(asio::io_context& io, Scope& scope) : io_(io), scope_(scope) {}
  LogWatch(const LogWatch&) = delete;
  LogWatch& operator=(const LogWatch&) = delete;

  // What changes count up. Lives as long as somebody holds it.
  struct Directory {
    explicit Directory(asio::io_context& io) : changed(io) {}
    Signal changed;
    std::uint64_t changes = 0;
    bool watched = false;  // false: inotify refused, look now and then
  };
  std::shared_ptr<Directory> watch(const std::string& directory);

 private:
  Coro<void> listen();
  void tell(std::string_view events);
  void forget_unused();

  asio::io_context& io_;
  Scope& scope_;  // of the engine: ends listen()
  UniqueFd inotify_;
  std::map<int, std::weak_ptr<Directory>> directories_;  // by watch descriptor
  std::map<std::string, int> by_path_;
};

// One reading of a log. Held by shared_ptr while next() runs.
class LogReader {
 public:
  // path of the log file; it may not exist yet
  LogReader(asio::io_context& io, Workers& workers, LogWatch& watch, std::string path,
            LogOptions options);
  // Of a source that has no directory to watch: following looks four times a second.
  LogReader(asio::io_context& io, Workers& workers, std::shared_ptr<LogSource> source,
            const LogOptions& options);

  // The next entries; empty is the end. With `follow` it waits for more until finish().
  Task<std::vector<LogEntry>> next();
  // Nothing more will be written (the container has ended, or is gone): a follower reads to the end
  // and ends.
  void finish();

 private:
  Coro<bool> wait_for_change(std::uint64_t seen);

  asio::io_context& io_;
  Workers& workers_;
  std::shared_ptr<LogSource> source_;
  bool follow_;
  Time until_;
  std::shared_ptr<LogWatch::Directory> directory_;
  UniqueFd following_;  // the directory, with a shared flock: rotation takes care
                        // (monitor/streams/log_file)
  bool finished_ = false;
  bool ended_ = false;
};

}  // namespace coracle
