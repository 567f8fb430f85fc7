// coracle-init: pid 1 of a container with --init. `docker-init [-s] -- PROGRAM ARGUMENTS…` starts
// the program as its child, passes signals on to it, reaps what is orphaned, and ends with the
// program's status (128 + signal when one ended it). Bound over /sbin/docker-init by the runtime;
// static, since the image may hold no library.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <initializer_list>

namespace {

constexpr int kNotFound = 127;
constexpr int kNotExecutable = 126;
constexpr int kSignalBase = 128;

[[noreturn]] void become(char** argv, const sigset_t& mask) {
  // A group of its own, in the foreground of the terminal if there is one: ctrl-c is the program's,
  // and comes to it once. See tcsetpgrp(3).
  ::setpgid(0, 0);
  ::signal(SIGTTOU, SIG_IGN);
  (void)::tcsetpgrp(STDIN_FILENO, ::getpgrp());
  ::signal(SIGTTOU, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execvp(argv[0], argv);
  std::fprintf(stderr, "docker-init: exec %s: %s\n", argv[0], std::strerror(errno));
  ::_exit(errno == ENOENT ? kNotFound : kNotExecutable);
}

// Reaps all that has ended. True when the program is among them.
bool reap(pid_t program, int& code) {
  bool ended = false;
  for (;;) {
    int word = 0;
    const pid_t pid = ::waitpid(-1, &word, WNOHANG);
    if (pid <= 0) return ended;
    if (pid != program) continue;
    ended = true;
    code = WIFSIGNALED(word) ? kSignalBase + WTERMSIG(word) : WEXITSTATUS(word);
  }
}

}  // namespace

int main(int argc, char** argv) {
  int first = 1;
  while (first < argc && std::strcmp(argv[first], "-s") == 0) ++first;
  if (first < argc && std::strcmp(argv[first], "--") == 0) ++first;
  if (first >= argc) {
    std::fprintf(stderr, "usage: docker-init [-s] -- PROGRAM ARGUMENTS\n");
    return 1;
  }
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  // Faults of our own are not to be waited for.
  for (const int fault : {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS})
    ::sigdelset(&all, fault);
  ::sigprocmask(SIG_SETMASK, &all, &before);

  const pid_t program = ::fork();
  if (program < 0) {
    std::fprintf(stderr, "docker-init: fork: %s\n", std::strerror(errno));
    return 1;
  }
  if (program == 0) become(argv + first, before);

  for (int code = 0;;) {
    siginfo_t info{};
    if (::sigwaitinfo(&all, &info) < 0) continue;
    // Those of the terminal's job control reach the program's group by themselves.
    if (info.si_signo == SIGCHLD) {
      if (reap(program, code)) return code;
    } else if (info.si_signo != SIGTTIN && info.si_signo != SIGTTOU) {
      ::kill(program, info.si_signo);
    }
  }
}
