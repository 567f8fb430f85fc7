// What happened, in order: the last kEventsKept events in memory and on disk
// (data_root/events.jsonl), and whoever listens. A listener holds a place in the sequence, not a
// queue: one that sleeps too long misses the oldest, and costs nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "engine/base/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/streams.hpp"
#include "engine/types.hpp"

namespace coracle {

constexpr std::size_t kEventsKept = 4096;

// Does the event pass? Filters of docker-api.md §15.
bool event_matches(const Event& event, const Filters& filters);
// errors  invalid_argument "invalid filter 'x'"
Result<> check_event_filters(const Filters& filters);

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
  void append(const Event& event);

  asio::io_context& io_;
  std::string path_;
  Signal changed_;
  std::deque<Event> kept_;
  std::uint64_t first_ = 0;  // sequence number of kept_.front()
  std::size_t listeners_ = 0;
  bool closed_ = false;
  UniqueFd file_;
  std::size_t lines_ = 0;  // in the file that is being written
  bool write_failed_ = false;
};

}  // namespace coracle
