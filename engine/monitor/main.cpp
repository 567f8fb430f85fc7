// coracle-monitor: an OCI runtime, and a container's parent. The engine starts it with
// --control-fd N and speaks protocol.hpp with it (session); anything else is an OCI command.
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "engine/base/process.hpp"
#include "engine/monitor/oci_command.hpp"
#include "engine/monitor/session.hpp"

namespace {

using namespace coracle;

int serve(const std::string& number) {
  int fd = -1;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), fd);
  if (read.ec != std::errc{} || read.ptr != number.data() + number.size() || fd < 0) {
    std::fprintf(stderr, "coracle-monitor: --control-fd %s: not a descriptor\n", number.c_str());
    return 1;
  }
  UniqueFd control(fd);
  if (const auto set = set_inheritable(control, false); !set) {
    std::fprintf(stderr, "coracle-monitor: descriptor %d: %s\n", fd, set.error().message.c_str());
    return 1;
  }
  ::setsid();  // fails when we lead a session already
  monitor::Loop loop;
  auto opened = loop.open();
  if (opened) {
    monitor::Session session(loop);
    opened = session.run(std::move(control));
  }
  if (opened) return 0;
  std::fprintf(stderr, "coracle-monitor: %s\n", opened.error().message.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    ignore_sigpipe();
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.size() == 2 && arguments[0] == "--control-fd") return serve(arguments[1]);
    return monitor::oci_command(arguments);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "coracle-monitor: a defect: %s\n", e.what());
    return 1;
  }
}
