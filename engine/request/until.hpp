// The moments that filters name: `until=24h`, `until=2026-01-02T15:04:05`, `until=1767000000`.
// Pure.
#pragma once

#include <string>

#include "engine/base/ident.hpp"
#include "engine/base/result.hpp"

namespace coracle {

// A Go duration (1h30m, 1.5s, 10ms) back from `at`, Unix seconds, RFC 3339, or a date with or
// without a time of day and a zone; else the zone is this host's.   errors  invalid_argument
Result<Time> parse_until(const std::string& text, Time at);

}  // namespace coracle
