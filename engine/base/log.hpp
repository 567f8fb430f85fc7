// The log's face. A line is an event and its facts: log::info("container started id={} pid={}", …).
//   error: someone must act   warn: carried on with less   info: a life event   debug: the rest
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <fmt/core.h>

namespace coracle::log {

enum class Level : std::uint8_t { debug, info, warn, error };

// Sets up the log on stderr; the names are dockerd's: debug, info, warn, error, fatal.
void set_up(const std::string& program, Level level);
Level level_from_name(const std::string& name);
bool enabled(Level level);
void write(Level level, const std::string& line);

template <class... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::info)) write(Level::info, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::warn, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::error, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace coracle::log
