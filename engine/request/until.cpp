#include "engine/request/until.hpp"

#include <cstdlib>
#include <ctime>
#include <string_view>

#include "engine/base/text.hpp"

namespace coracle {
namespace {

// "+02:00", of this host at that moment.
std::string local_offset(Time at) {
  const auto seconds = static_cast<std::time_t>(at.ns / 1'000'000'000);
  std::tm tm{};
  ::localtime_r(&seconds, &tm);
  const long minutes = tm.tm_gmtoff / 60;
  return fmt::format("{}{:02}:{:02}", minutes < 0 ? '-' : '+', std::labs(minutes) / 60,
                     std::labs(minutes) % 60);
}

// What a moment ends with when it names its zone: "Z", or an offset. A date has its dashes too, but
// no colon behind them.
std::size_t zone_length(std::string_view text) {
  if (text.ends_with('Z') || text.ends_with('z')) return 1;
  if (text.size() <= 6 || text[text.size() - 3] != ':') return 0;
  const char sign = text[text.size() - 6];
  return sign == '+' || sign == '-' ? 6 : 0;
}

}  // namespace

Result<Time> parse_until(const std::string& text, Time at) {
  // "0" is the epoch, before which nothing was made, and no duration: that would be everything.
  if (text != "0") {
    if (const auto back = parse_go_duration_ns(text)) return Time{at.ns - *back};
  }
  if (const auto time = parse_timestamp(text)) return *time;
  const auto zone = zone_length(text);
  const auto moment = text.substr(0, text.size() - zone);
  const auto offset = zone > 0 ? text.substr(moment.size()) : local_offset(at);
  for (const char* rest : {"", ":00", ":00:00", "T00:00:00"}) {
    if (const auto time = parse_timestamp(moment + rest + offset)) return *time;
  }
  return fail(Errc::invalid_argument, "failed to parse value as time or duration: \"{}\"", text);
}

}  // namespace coracle
