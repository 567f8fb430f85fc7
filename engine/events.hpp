// What happened, in order: the last kEventsKept events in memory and on disk
// (data_root/events.jsonl), and whoever listens. A listener holds a place in the sequence, not a
// queue: one that sleeps too long misses the oldest, and costs nothing.
//
// Events of execs, which health checks are, have a place of their own, so that a busy check does
// not push out what happened to containers; they hold command lines, where secrets may stand, and
// stay in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/result.hpp"
#include "engine/face/streams.hpp"
#include "engine/face/types.hpp"

namespace coracle {

constexpr std::size_t kEventsKept = 4096;
constexpr std::size_t kEventBytesKept = std::size_t{8} << 20;  // a label may be as long as it likes
// Beside them those of execs.
constexpr std::size_t kExecEventsKept = 1024;
constexpr std::size_t kExecEventBytesKept = std::size_t{2} << 20;
constexpr std::size_t kLongestEventWritten = std::size_t{256} << 10;

// Does the event pass? Filters: type, event, container, image, volume, network, label, scope, daemon.
bool event_matches(const Event& event, const Filters& filters);

class EventLog : public std::enable_shared_from_this<EventLog> {
 public:
  // Reads what an earlier daemon wrote; lines that cannot be read are skipped.
  static std::shared_ptr<EventLog> open(asio::io_context& io, const std::string& data_root);
  EventLog(asio::io_context& io, std::string path)
      : io_(io), path_(std::move(path)), changed_(io) {}

  // `time` 0 is now. A file that cannot be written costs the replay after a restart only.
  void add(Event event);
  // errors  invalid_argument
  Result<std::unique_ptr<EventStream>> listen(Time since, Time until, Filters filters);
  // Ends all streams.
  void close();
  [[nodiscard]] std::size_t listeners() const { return listeners_; }

 private:
  friend class Listener;
  struct Kept {
    std::uint64_t number = 0;  // of all events since the start
    std::size_t bytes = 0;
    Event event;
  };
  // The last events of a kind; the newest stays in any case.
  struct Ring {
    std::size_t most = 0, most_bytes = 0;
    std::deque<Kept> items;
    std::size_t bytes = 0;
    void add(Kept kept);
    [[nodiscard]] const Kept* from(std::uint64_t number) const;  // the first that is not before it
  };
  void keep(Event event);
  [[nodiscard]] const Kept* from(std::uint64_t number) const;
  void append(const Event& event);
  void drop_execs_from_file();

  asio::io_context& io_;
  std::string path_;
  Signal changed_;
  Ring others_{kEventsKept, kEventBytesKept, {}, 0};
  Ring execs_{kExecEventsKept, kExecEventBytesKept, {}, 0};
  std::uint64_t next_ = 0;  // the next event's number
  std::size_t listeners_ = 0;
  bool closed_ = false;
  UniqueFd file_;
  std::size_t lines_ = 0, bytes_ = 0;  // in the file that is being written
  bool write_failed_ = false;
};

}  // namespace coracle
