// coracle-monitor: an OCI runtime, and a container's parent. The engine starts it with
// --control-fd N and speaks protocol.hpp with it (session), or copies one that it has started with
// --spawner N (spawner); anything else is an OCI command.
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <malloc.h>

#include "engine/base/epoll_loop.hpp"
#include "engine/base/process/process.hpp"
#include "engine/monitor/oci_command.hpp"
#include "engine/monitor/session.hpp"
#include "engine/monitor/spawner.hpp"

namespace {

using namespace coracle;

constexpr std::string_view kSpawner = "--spawner";

Result<UniqueFd> inherited(const std::string& number) {
  int fd = -1;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), fd);
  if (read.ec != std::errc{} || read.ptr != number.data() + number.size() || fd < 0)
    return fail(Errc::invalid_argument, "{}: not a descriptor", number);
  UniqueFd socket(fd);
  CHECK(set_inheritable(socket, false));
  return socket;
}

Result<> serve(UniqueFd control) {
  ::setsid();  // fails when we lead a session already
  TRY(const auto loop, Loop::make());
  monitor::Session session(*loop);
  return session.run(std::move(control));
}

// `option` is the program's own argument: a copy shows by it that it is none that makes copies.
Result<> serve_copies(UniqueFd requests, char* option) {
  TRY(auto control, monitor::serve_copies(std::move(requests)));
  if (!control) return {};
  constexpr std::string_view kShown = "--copied";
  std::memset(option, 0, std::strlen(option));
  kShown.copy(option, kShown.size());
  return serve(*std::move(control));
}

Result<> run(const std::string& number, char* option) {
  TRY(auto socket, inherited(number));
  if (option == kSpawner) return serve_copies(std::move(socket), option);
  return serve(std::move(socket));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    ignore_sigpipe();
    // Without fast bins, which are merged in a walk over the whole heap: a child of a start or an exec
    // would copy each page that the walk touches.
    ::mallopt(M_MXFAST, 0);
    // By a descriptor it is executed under a number (base/process/sealed_program).
    ::prctl(PR_SET_NAME, "coracle-monitor", 0, 0, 0);
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.size() != 2 || (arguments[0] != "--control-fd" && arguments[0] != kSpawner))
      return monitor::oci_command(arguments);
    const auto done = run(arguments[1], argv[1]);
    if (!done) std::fprintf(stderr, "coracle-monitor: %s\n", done.error().message.c_str());
    return done ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "coracle-monitor: a defect: %s\n", e.what());
    return 1;
  }
}
