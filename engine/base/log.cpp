// The one includer of spdlog.
#include "engine/base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace coracle::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void set_up(const std::string& program, Level level) {
  spdlog::drop(program);  // set up again: another level
  auto logger = spdlog::stderr_logger_mt(program);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%f%z %n[%P] %l %v");
  logger->set_level(to_spdlog(level));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

Level level_from_name(const std::string& name) {
  if (name == "debug" || name == "trace") return Level::debug;
  if (name == "warn" || name == "warning") return Level::warn;
  if (name == "error" || name == "fatal" || name == "panic") return Level::error;
  return Level::info;
}

bool enabled(Level level) { return spdlog::default_logger_raw()->should_log(to_spdlog(level)); }

void write(Level level, const std::string& line) { spdlog::log(to_spdlog(level), "{}", line); }

}  // namespace coracle::log
