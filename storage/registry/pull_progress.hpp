// What a pull tells its client, in Docker's words; bars are sent at most ten times a second a
// layer.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "storage/content/progress.hpp"

namespace coracle::storage {

// On the loop's thread.
class PullProgress {
 public:
  explicit PullProgress(ProgressSink sink) : sink_(std::move(sink)) {}

  void say(const std::string& id, const std::string& status) { send(id, status, 0, 0); }
  // A bar; left out when one of the same id and status was sent less than 100 ms ago, unless it is
  // complete. A total of 0 is not known.
  void bar(const std::string& id, const std::string& status, std::int64_t current,
           std::int64_t total) {
    auto& last = last_[id];
    const auto now = std::chrono::steady_clock::now();
    if (last.first == status && now - last.second < std::chrono::milliseconds(100) &&
        (total == 0 || current < total))
      return;
    last = {status, now};
    send(id, status, current, total);
  }
  // The client is gone, or has its answer.
  void end() { sink_ = nullptr; }

 private:
  void send(const std::string& id, const std::string& status, std::int64_t current,
            std::int64_t total) {
    if (!sink_) return;
    Progress line;
    line.id = id;
    line.status = status;
    line.current = current;
    line.total = total;
    sink_(line);
  }

  ProgressSink sink_;
  std::map<std::string, std::pair<std::string, std::chrono::steady_clock::time_point>> last_;
};

}  // namespace coracle::storage
