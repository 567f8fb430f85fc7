// Log drivers: what a container (and daemon.json) may ask of them, and what its monitor is told.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/container/record.hpp"
#include "engine/monitor/protocol.hpp"

namespace coracle {

// journald's socket for its native protocol. See systemd-journald.service(8).
constexpr const char* kJournalSocket = "/run/systemd/journal/socket";

// A container that names no driver gets the daemon's, and its options unless it has its own.
LogConfig with_default_log(LogConfig wanted, const LogConfig& defaults);

// Those that this host has.
std::vector<std::string> log_drivers();

// Looks whether a journal is there, when it is asked for.
//   errors  invalid_argument, with Docker's texts: a driver, option or value that is not known;
//           unavailable: journald on a host without it
Result<> check_log(const LogConfig& log);

// The file of a json-file or a local log, in the container's directory; else "".
std::string log_file_of(const LogConfig& log, const std::string& dir, const std::string& id);

// errors  as check_log
Result<monitor::LogOptions> log_options(const ContainerRecord& record, const std::string& dir);

}  // namespace coracle
