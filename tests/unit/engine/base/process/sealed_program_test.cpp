#include "engine/base/process/sealed_program.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "engine/base/path.hpp"
#include "engine/base/process/process.hpp"
#include "tests/unit/engine/base/scratch.hpp"

namespace coracle {
namespace {

using test::Scratch;

// A program of our own, and what of it a process that has ended gave away before: the descriptor of
// its /proc/PID/exe.
struct Seen {
  UniqueFd exe;
  int code = -1;
};
Seen execute(const UniqueFd& sealed) {
  Seen seen;
  auto wait = make_pipe();
  SpawnOptions o;
  o.program = proc_path(sealed);
  o.argv = {"cat"};
  o.fds = {{wait->read.get(), STDIN_FILENO}};
  const auto process = spawn(o);
  EXPECT_TRUE(process) << process.error().message;
  if (!process) return seen;
  seen.exe.reset(::open(fmt::format("/proc/{}/exe", process->pid()).c_str(), O_PATH | O_CLOEXEC));
  wait->write.reset();
  wait->read.reset();
  seen.code = process->wait()->code;
  return seen;
}

// Not by way of a name, and by nothing that depends on whether it is being executed just now.
void expect_unwritable(const Seen& seen, const std::string& file) {
  EXPECT_EQ(seen.code, 0);
  ASSERT_TRUE(seen.exe);
  const UniqueFd out(::open(proc_path(seen.exe).c_str(), O_RDWR | O_CLOEXEC));
  if (out) {
    EXPECT_LT(::write(out.get(), "#!", 2), 0);
    EXPECT_EQ(errno, EPERM);
    EXPECT_NE(::ftruncate(out.get(), 0), 0);
    EXPECT_EQ(::mmap(nullptr, 1, PROT_WRITE, MAP_SHARED, out.get(), 0), MAP_FAILED);
  } else {
    EXPECT_TRUE(errno == EROFS || errno == EACCES) << errno;
  }
  EXPECT_NE(::truncate(proc_path(seen.exe).c_str(), 0), 0);
  const auto text = read_file(file);
  ASSERT_TRUE(text);
  EXPECT_EQ(text->substr(0, 4), "\177ELF");
}

class SealedProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto cat = read_file("/bin/cat");
    ASSERT_TRUE(cat);
    ASSERT_TRUE(write_file_atomic(s / "cat", *cat, 0755));
  }
  const Scratch s;
};

TEST_F(SealedProgram, IsAFileThatNobodyCanWriteAsLongAsThereIsAWayToIt) {
  const auto sealed = seal_program(s / "cat");
  ASSERT_TRUE(sealed) << sealed.error().message;
  expect_unwritable(execute(*sealed), s / "cat");
}

TEST_F(SealedProgram, IsACopyInMemoryWhereMountsAreNotAllowed) {
  const auto sealed = copy_program_sealed(s / "cat");
  ASSERT_TRUE(sealed) << sealed.error().message;
  expect_unwritable(execute(*sealed), s / "cat");
  // A new one at the path is another one.
  ASSERT_TRUE(write_file_atomic(s / "cat", "#!/bin/false\n", 0755));
  EXPECT_EQ(execute(*sealed).code, 0);
}

TEST_F(SealedProgram, ThatIsNotThereIsAnError) {
  EXPECT_EQ(seal_program(s / "none").error().code, Errc::not_found);
}

}  // namespace
}  // namespace coracle
