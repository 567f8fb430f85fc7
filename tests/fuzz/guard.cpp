#include "tests/fuzz/guard.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sanitizer/lsan_interface.h>

// Read by the sanitizers at the start. Every report ends in abort(), so that there is one way out.
// handle_abort 0: the signal is ours. The quarantine is small: it costs memory, and time with it.
extern "C" const char* __asan_default_options() {
  // A parser's globals stand in two objects here (tests/fuzz.cmake), and are one.
  return "detect_odr_violation=0:abort_on_error=1:handle_abort=0:detect_stack_use_after_return=1:"
         "quarantine_size_mb=8:"
         "max_allocation_size_mb=256:hard_rss_limit_mb=2048:allocator_may_return_null=0:"
         "malloc_context_size=8:strict_string_checks=1";
}
extern "C" const char* __ubsan_default_options() {
  return "print_stacktrace=1:abort_on_error=1:halt_on_error=1";
}

namespace coracle::fuzz {
namespace {

// What a signal handler can reach.
struct Watched {
  std::string program, target, folder;
  std::atomic<const char*> data{nullptr};
  std::atomic<std::size_t> size{0};
  std::atomic<std::uint64_t> number{0};
  std::uint64_t seen_running = 0, seen_waiting = 0;
  int running = 0, waiting = 0;  // ticks of the same input
};
Watched watched;  // NOLINT

std::uint64_t hash_of(const char* data, std::size_t size) {
  std::uint64_t h = 0xcbf29ce484222325U;
  for (std::size_t i = 0; i < size; ++i) {
    h ^= static_cast<unsigned char>(data[i]);
    h *= 0x100000001b3U;
  }
  return h;
}

// Only calls that a signal handler may make; snprintf is none by the letter, and harmless with
// numbers and texts alone.
void tell(const char* why) {
  const char* data = watched.data.load();
  const std::size_t size = watched.size.load();
  char line[1024];
  int n = 0;
  if (data == nullptr) {
    n = std::snprintf(line, sizeof line, "fuzz: %s: %s, while no input was run\n",
                      watched.target.c_str(), why);
  } else {
    char path[512];
    std::snprintf(path, sizeof path, "%s/%s-%016llx", watched.folder.c_str(),
                  watched.target.c_str(), static_cast<unsigned long long>(hash_of(data, size)));
    const int fd = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const bool kept = fd >= 0 && ::write(fd, data, size) == static_cast<ssize_t>(size);
    n = std::snprintf(line, sizeof line,
                      "fuzz: %s: %s, by an input of %zu bytes%s\nfuzz: repeat it with: %s %s %s\n",
                      watched.target.c_str(), why, size, kept ? "" : " that could not be kept",
                      watched.program.c_str(), watched.target.c_str(), path);
  }
  [[maybe_unused]] const auto written = ::write(2, line, static_cast<std::size_t>(n));
}

void on_abort(int /*signal*/) {
  tell("it ended the program");
  ::_exit(1);
}

// Another tick: does the same input still run?
void on_tick(int signal) {
  const auto now = watched.number.load();
  const bool cpu = signal == SIGPROF;
  auto& seen = cpu ? watched.seen_running : watched.seen_waiting;
  auto& ticks = cpu ? watched.running : watched.waiting;
  ticks = seen == now && watched.data.load() != nullptr ? ticks + 1 : 0;
  seen = now;
  if (ticks <= (cpu ? kLongestRunS : kLongestWaitS)) return;
  tell(cpu ? "it computes without end" : "it waits without end");
  ::_exit(1);
}

}  // namespace

void guard(const std::string& program, const std::string& target, const std::string& folder) {
  watched.program = program;
  watched.target = target;
  watched.folder = folder;
  struct sigaction act {};
  act.sa_handler = on_abort;
  act.sa_flags = SA_ONSTACK;
  ::sigaction(SIGABRT, &act, nullptr);
  act.sa_handler = on_tick;
  act.sa_flags = SA_ONSTACK | SA_RESTART;
  ::sigaction(SIGPROF, &act, nullptr);
  ::sigaction(SIGALRM, &act, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  // A file that grows without end is an error to whoever writes it, not a full disk here.
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit largest{kLargestFile, kLargestFile};
  ::setrlimit(RLIMIT_FSIZE, &largest);
  const itimerval second{{1, 0}, {1, 0}};
  ::setitimer(ITIMER_PROF, &second, nullptr);
  ::setitimer(ITIMER_REAL, &second, nullptr);
}

void guard_input(std::string_view input) {
  watched.data = input.data();
  watched.size = input.size();
  ++watched.number;
}

void check_leaks() {
  guard_input({});
  if (__lsan_do_recoverable_leak_check() == 0) return;
  std::fprintf(stderr, "fuzz: %s: one of the inputs lost memory\n", watched.target.c_str());
  ::_exit(1);
}

}  // namespace coracle::fuzz
