#include "engine/runtime/exec_watch.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <string>

#include <gtest/gtest.h>

namespace coracle::runtime {
namespace {

// A child that does `act`; it is reaped when the answer is there.
Result<> told(const std::function<void(const ExecWatch&)>& act) {
  TRY(const auto watch, ExecWatch::make());
  const pid_t pid = ::fork();
  if (pid == 0) {
    act(watch);
    ::_exit(3);
  }
  TRY(const auto child, Pidfd::open(pid));
  auto answer = watch.await(child);
  (void)child.send_signal(SIGKILL);
  (void)child.wait();
  return answer;
}

void exec_program(const char* program) {
  ::execl(program, program, "1000", nullptr);
  ::_exit(4);
}

TEST(ExecWatch, TellsOfAnExecveWhileTheProgramRuns) {
  // It sleeps: what ends the wait is the execve.
  const auto answer = told([](const ExecWatch& watch) {
    if (watch.arm()) exec_program("/bin/sleep");
  });
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST(ExecWatch, TellsWhyThereIsNoProgram) {
  const auto answer = told([](const ExecWatch& watch) {
    (void)watch.arm();
    watch.fail(Error{Errc::not_found, ENOENT, "exec: \"foo\": no such file or directory"});
  });
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Errc::not_found);
  EXPECT_EQ(answer.error().sys, ENOENT);
  EXPECT_EQ(answer.error().message, "exec: \"foo\": no such file or directory");
}

TEST(ExecWatch, CutsALongReasonBeforeACharacter) {
  std::string text(8191, 'x');
  const auto answer = told([&](const ExecWatch& watch) {
    (void)watch.arm();
    watch.fail(Error{Errc::internal, 0, text + "\u00e9 and more"});
  });
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, text);
}

TEST(ExecWatch, EndsWithTheChild) {
  for (const bool armed : {true, false}) {
    const auto answer = told([armed](const ExecWatch& watch) {
      if (armed) (void)watch.arm();
      (void)::raise(SIGKILL);
    });
    EXPECT_TRUE(answer) << answer.error().message;
  }
}

}  // namespace
}  // namespace coracle::runtime
