// Lines of a container's log as they stand in its file, and the search for the last ones.
#include <fcntl.h>
#include <unistd.h>

#include <memory>

#include "engine/base/file.hpp"
#include "engine/logs/files.hpp"
#include "tests/fuzz/playground.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

void log_line(std::string_view input) {
  const auto entry = parse_log_line(input);
  if (entry) MUST(entry->text.size() <= input.size());
}

// The first byte: how many lines, of which streams; the rest: the file.
void log_tail(std::string_view input, const std::string& path) {
  if (input.empty()) return;
  const auto choice = static_cast<std::uint8_t>(input[0]);
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  MUST(fd && write_all(fd, input.substr(1)).has_value());
  LogOptions options;
  options.out = (choice & 1) != 0;
  options.err = (choice & 2) != 0;
  if ((choice & 4) != 0) options.tail = choice >> 4;
  if ((choice & 8) != 0) options.until = Time{1'700'000'000'000'000'000};
  LogFiles log(path, options);
  std::size_t lines = 0;
  for (std::size_t reads = 0;; ++reads) {
    MUST(reads <= input.size() + 1);
    const auto entries = log.read();
    if (!entries || entries->empty()) break;
    lines += entries->size();
  }
  lines += log.take_unfinished().size();
  if (options.tail) MUST(lines <= *options.tail + 1);  // and one that is not ended
}

}  // namespace

std::vector<Target> log_targets() {
  const std::vector<std::string> words{
      "{\"log\":\"",
      "\\n\"",
      ",\"stream\":\"stdout\"",
      ",\"stream\":\"stderr\"",
      ",\"time\":\"2023-11-14T22:13:20.000000001Z\"}",
      "\n",
      "\\u0000",
      "\\u001b",
      "\\ud83d",
      "\"attrs\":{\"a\":\"b\"}",
      "{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2023-11-14T22:13:19Z\"}\n"};
  Target tail;
  tail.name = "log_tail";
  tail.dictionary = words;
  tail.largest = 8192;
  tail.inputs = 5'000;
  tail.run = [ground = std::shared_ptr<Playground>()](std::string_view input) mutable {
    if (!ground) ground = std::make_shared<Playground>("log_tail");
    log_tail(input, ground->path() + "/log");
  };
  return {
      {.name = "log_line", .run = log_line, .dictionary = words, .largest = 1024, .inputs = 60'000},
      tail};
}

}  // namespace coracle::fuzz
