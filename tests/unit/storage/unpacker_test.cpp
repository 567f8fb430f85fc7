// coracle-unpack: that it does what the functions in process do, how its ends are told, and what it
// can not do any more once it is confined.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/path.hpp"
#include "engine/base/process/sandbox.hpp"
#include "storage/unpacker/client.hpp"
#include "storage/unpacker/sandbox.hpp"
#include "tests/unit/storage/in_user_namespace.hpp"
#include "tests/unit/storage/scratch.hpp"
#include "tests/unit/storage/tar.hpp"
#include "tests/unit/storage/text_source.hpp"

namespace coracle::storage {
namespace {

using testing::HasSubstr;

std::string much() {
  std::string out;
  for (int i = 0; i < 400'000; ++i) out += std::to_string(i) + "\n";
  return out;
}

Result<std::string> through_helper(ByteSource& from, Compression compression) {
  TRY(const auto plain, inflated_apart(from, compression));
  return all_of(*plain);
}

TEST(InflatedApart, GivesWhatWasCompressed) {
  const auto text = much();
  TextSource gzip(gzipped(text) + gzipped("second member"), 5000);
  EXPECT_EQ(through_helper(gzip, Compression::gzip), text + "second member");
  TextSource zstd(zstd_packed(text), 70'000);
  EXPECT_EQ(through_helper(zstd, Compression::zstd), text);
  TextSource plain(text);
  EXPECT_EQ(through_helper(plain, Compression::none), text);
}

TEST(InflatedApart, ReadsItsSourceToTheEndBehindCompressedData) {
  TextSource source(gzipped("short") + std::string(300'000, '\0'));
  EXPECT_EQ(through_helper(source, Compression::gzip), "short");
  EXPECT_EQ(all_of(source), "") << "nothing is left";
}

TEST(InflatedApart, DamageIsTheLibrarysErrorAndTheSourcesErrorIsItsOwn) {
  auto packed = gzipped(much());
  packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 0x55);
  TextSource damaged(packed);
  const auto wrong = through_helper(damaged, Compression::gzip);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Errc::invalid_argument);
  EXPECT_THAT(wrong.error().message, HasSubstr("gzip"));

  TextSource cut(gzipped(much()).substr(0, 5000));
  EXPECT_FALSE(through_helper(cut, Compression::gzip));

  TextSource ended(gzipped(much()).substr(0, 5000), Error{Errc::unavailable, 0, "the line is cut"});
  const auto cause = through_helper(ended, Compression::gzip);
  ASSERT_FALSE(cause);
  EXPECT_EQ(cause.error().message, "the line is cut");
}

TEST(InflatedApart, OneWhoReadsNoFurtherWaitsForNothing) {
  TextSource bomb(gzipped(std::string(std::size_t{64} << 20, '\0')));
  {
    const auto plain = inflated_apart(bomb, Compression::gzip);
    ASSERT_TRUE(plain) << plain.error().message;
    std::array<char, 10> some{};
    EXPECT_EQ((*plain)->read(some), some.size());
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a helper was left";
}

class UnpackApart : public testing::Test {
 protected:
  void SetUp() override { mkdirs(scratch / "root"); }
  Result<Unpacked> unpack_tar(const std::string& tar) {
    TRY(const auto root, open_dir(scratch / "root"));
    TextSource source(tar);
    return unpack_apart(source, root, {.one_id = !has_id_range()});
  }
  Scratch scratch;
};

TEST_F(UnpackApart, MakesTheTreeInAProcessOfItsOwn) {
  NEEDS_NAMESPACE();
  Tar::Meta other;
  other.uid = other.gid = 33;
  other.mode = 06755;
  const auto done = unpack_tar(Tar()
                                   .dir("closed", 0500)
                                   .file("closed/f", "hello", other)
                                   .hardlink("elsewhere", "closed/f")
                                   .symlink("l", "/etc/passwd")
                                   .entry("gone/.wh.x", '0')
                                   .dir("again")
                                   .file("again", "a file now")
                                   .done());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->bytes, 26);
  EXPECT_EQ(get(scratch / "root/elsewhere"), "hello");
  EXPECT_EQ(get(scratch / "root/again"), "a file now");
  struct stat st {};
  ASSERT_EQ(::stat((scratch / "root/closed/f").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 06755U);
  if (has_id_range()) {
    EXPECT_EQ(st.st_uid, 33U);
  }
  ASSERT_EQ(::lstat((scratch / "root/gone/x").c_str(), &st), 0);
  EXPECT_TRUE(S_ISCHR(st.st_mode));
}

TEST_F(UnpackApart, ItsErrorComesAsItWas) {
  NEEDS_NAMESPACE();
  const auto out = unpack_tar(Tar().file("../x", "1").done());
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, Errc::invalid_argument);
  EXPECT_THAT(out.error().message, HasSubstr("../x"));
}

// What `act` answers in a child that has been confined: its exit status.
int in_confined(const UniqueFd* root, const std::function<bool()>& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto confined =
        root != nullptr ? unpacker::confine_unpacking(*root) : unpacker::confine_inflating();
    if (!confined) ::_exit(3);
    ::_exit(act() ? 1 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

constexpr int kRefused = 0;
constexpr int kDone = 1;

class Confined : public testing::Test {
 protected:
  void SetUp() override {
    NEEDS_NAMESPACE();
    if (sandbox::kSanitized) GTEST_SKIP() << "the sanitizers need what a sandbox forbids";
    mkdirs(scratch / "root");
    put(scratch / "outside", "secret");
    auto opened = open_dir(scratch / "root");
    ASSERT_TRUE(opened);
    root = *std::move(opened);
  }
  Scratch scratch;
  UniqueFd root;
};

TEST_F(Confined, UnpackingMakesFilesBelowItsRootAlone) {
  EXPECT_EQ(kDone, in_confined(&root, [&] {
              return ::openat(root.get(), "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0;
            }));
  if (!sandbox::can_restrict_files()) GTEST_SKIP() << "this kernel has no landlock with links";
  const std::string outside = scratch / "outside";
  const std::string beside = scratch / "beside";
  EXPECT_EQ(kRefused,
            in_confined(&root, [&] { return ::open(outside.c_str(), O_RDONLY | O_CLOEXEC) >= 0; }));
  EXPECT_EQ(kRefused, in_confined(&root, [&] {
              return ::open(beside.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0;
            }));
  EXPECT_EQ(kRefused, in_confined(&root, [&] {
              return ::linkat(AT_FDCWD, outside.c_str(), root.get(), "loot", 0) == 0;
            }));
  EXPECT_EQ(kRefused, in_confined(&root, [&] { return ::unlink(outside.c_str()) == 0; }));
}

TEST_F(Confined, NeitherReachesTheNetAnotherProcessOrAProgram) {
  const std::array<std::function<bool()>, 9> acts{
      [] { return ::socket(AF_INET, SOCK_STREAM, 0) >= 0; },
      [] { return ::socket(AF_UNIX, SOCK_STREAM, 0) >= 0; },
      [] { return ::kill(::getppid(), 0) == 0; },
      [] { return ::syscall(SYS_pidfd_open, ::getppid(), 0) >= 0; },
      [] { return ::ptrace(PTRACE_SEIZE, ::getppid(), nullptr, nullptr) == 0; },
      [] { return ::fork() >= 0; },
      [] {
        const std::array<char*, 1> none{nullptr};
        return ::execve("/bin/true", none.data(), none.data()) == 0;
      },
      [] { return ::unshare(CLONE_NEWUSER) == 0; },
      [] { return ::syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, nullptr) == 0; },
  };
  for (std::size_t i = 0; i < acts.size(); ++i) {
    EXPECT_EQ(kRefused, in_confined(&root, acts[i])) << "unpacking, act " << i;
    EXPECT_EQ(kRefused, in_confined(nullptr, acts[i])) << "inflating, act " << i;
  }
}

TEST_F(Confined, InflatingOpensNothingAndHasNoCapability) {
  EXPECT_EQ(kRefused, in_confined(nullptr, [] { return ::open("/", O_RDONLY | O_CLOEXEC) >= 0; }));
  EXPECT_EQ(kRefused, in_confined(nullptr, [&] {
              return ::openat(root.get(), "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0;
            }));
  // A capability that is left would let chown through; the filter would refuse the call itself.
  EXPECT_EQ(kRefused, in_confined(nullptr, [&] { return ::fchown(root.get(), 1, 1) == 0; }));
}

}  // namespace
}  // namespace coracle::storage
