// What is told while an image comes in.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace coracle::storage {

// What a push has made: `aux` of its last line.
struct PushedTag {
  std::string tag, digest;
  std::int64_t size = 0;
};

// One line of progress, in Docker's own words.
struct Progress {
  std::string id;      // layer's short id, or the tag; may be empty
  std::string status;  // "Pulling fs layer", "Downloading", …; empty for a `stream` line
  std::string stream;  // load, build: text with its newline
  std::int64_t current = 0, total = 0;   // 0, 0: no bar
  std::optional<PushedTag> pushed = {};  // instead of all others
};
// Called on the loop's thread.
using ProgressSink = std::function<void(const Progress&)>;

}  // namespace coracle::storage
