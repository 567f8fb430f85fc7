// What each operation answers in each state, as dockerd gives it. The test walks every pair.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/result.hpp"
#include "engine/face/types.hpp"

namespace coracle {

enum class Verdict : std::uint8_t { go, unchanged, conflict };
enum class Operation : std::uint8_t {
  start,
  stop,
  kill,
  pause,
  unpause,
  update,
  exec,
  attach,
  resize,
  rename,
  remove
};

constexpr bool is_alive(Status s) { return s == Status::running || s == Status::paused; }

constexpr Verdict may(Operation what, Status now) {
  if (now == Status::removing) return Verdict::conflict;
  switch (what) {
    case Operation::start:
      // One that waits for its next start counts as running: it starts by itself.
      if (now == Status::running || now == Status::restarting) return Verdict::unchanged;
      return now == Status::paused || now == Status::dead ? Verdict::conflict : Verdict::go;
    case Operation::stop:
      // While it waits for its next start, stop ends the waiting.
      return is_alive(now) || now == Status::restarting ? Verdict::go : Verdict::unchanged;
    case Operation::kill:
      return is_alive(now) || now == Status::restarting ? Verdict::go : Verdict::conflict;
    case Operation::pause: return now == Status::running ? Verdict::go : Verdict::conflict;
    case Operation::unpause: return now == Status::paused ? Verdict::go : Verdict::conflict;
    case Operation::update: return now == Status::dead ? Verdict::conflict : Verdict::go;
    case Operation::exec:
    case Operation::resize: return now == Status::running ? Verdict::go : Verdict::conflict;
    case Operation::attach:
      return now == Status::paused || now == Status::restarting ? Verdict::conflict : Verdict::go;
    case Operation::rename: return now == Status::dead ? Verdict::conflict : Verdict::go;
    case Operation::remove:
      return is_alive(now) || now == Status::restarting ? Verdict::conflict : Verdict::go;
  }
  return Verdict::conflict;
}

// The verdict as an answer. `id` and `name` are the container's, for Docker's texts.
//   errors  unchanged; conflict
Result<> permit(Operation what, Status now, const std::string& id, const std::string& name);

}  // namespace coracle
