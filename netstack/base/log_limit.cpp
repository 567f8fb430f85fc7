#include "netstack/base/log_limit.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include <fmt/core.h>

namespace coracle::netstack {
namespace {

constexpr std::chrono::minutes kEvery{1};

}  // namespace

std::optional<std::string> Seldom::now(Loop::Clock::time_point at) {
  if (last_ && at - *last_ < kEvery) {
    ++left_out_;
    return std::nullopt;
  }
  last_ = at;
  const auto left_out = std::exchange(left_out_, 0);
  return left_out == 0 ? std::string() : fmt::format(" (and {} times before)", left_out);
}

bool empty_when_above(int fd, std::size_t bytes) {
  struct stat st {};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return false;
  if (st.st_size < 0 || static_cast<std::size_t>(st.st_size) <= bytes) return false;
  return ::ftruncate(fd, 0) == 0;
}

}  // namespace coracle::netstack
