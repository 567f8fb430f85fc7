#include "engine/request/until.hpp"

#include "engine/base/text.hpp"

namespace coracle {

Result<Time> parse_until(const std::string& text, Time at) {
  if (const auto back = parse_go_duration_ns(text)) return Time{at.ns - *back};
  if (const auto time = parse_timestamp(text)) return *time;
  // A date, a date and a time of day without seconds, or without a zone: as if they were there.
  for (const char* rest : {"Z", ":00Z", "T00:00:00Z"}) {
    if (const auto time = from_rfc3339(text + rest)) return *time;
  }
  return fail(Errc::invalid_argument, "failed to parse value as time or duration: \"{}\"", text);
}

}  // namespace coracle
