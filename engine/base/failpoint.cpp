#include "engine/base/failpoint.hpp"

#ifdef CORACLE_FAILPOINTS

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>

namespace coracle {
namespace {

struct Point {
  std::string name;
  bool kill = false;
  int at = 1;
  std::atomic<int> passed{0};
};

std::deque<Point> parse(const char* text) {
  std::deque<Point> points;
  std::string_view rest = text == nullptr ? "" : text;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const auto one = rest.substr(0, comma);
    const auto colon = one.find(':');
    auto& point = points.emplace_back();
    point.name = std::string(one.substr(0, colon));
    if (colon != std::string_view::npos) {
      const auto action = one.substr(colon + 1);
      const auto at = action.find('@');
      point.kill = action.substr(0, at) == "kill";
      if (at != std::string_view::npos)
        point.at = std::atoi(std::string(action.substr(at + 1)).c_str());
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  return points;
}

}  // namespace

Result<> fail_point(const char* name) {
  static std::deque<Point> points = parse(std::getenv("CORACLE_FAIL"));
  for (auto& point : points) {
    if (point.name != name || point.passed.fetch_add(1) + 1 != point.at) continue;
    if (point.kill) ::raise(SIGKILL);
    return fail(Errc::internal, "fail point {}", name);
  }
  return {};
}

}  // namespace coracle

#endif
