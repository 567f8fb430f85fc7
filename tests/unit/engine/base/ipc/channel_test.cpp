#include "engine/base/ipc/channel.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>

#include <gtest/gtest.h>

#include "tests/unit/engine/base/scratch.hpp"

namespace coracle {
namespace {

using test::Scratch;

TEST(Channel, KeepsTheBoundsOfMessagesAndPassesDescriptors) {
  auto pair = make_socket_pair(SOCK_SEQPACKET);
  ASSERT_TRUE(pair);
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  ASSERT_TRUE(send_message(pair->a, "one", {pipe->write.get()}));
  ASSERT_TRUE(send_message(pair->a, "two", {}));
  const auto one = receive_message(pair->b);
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->text, "one");
  ASSERT_EQ(one->fds.size(), 1U);
  ASSERT_TRUE(write_all(one->fds[0], "through"));
  char buffer[8] = {};
  EXPECT_EQ(read_some(pipe->read, buffer), 7U);
  EXPECT_EQ(receive_message(pair->b)->text, "two");
}

TEST(Channel, ALongTextTravelsInAMemfd) {
  auto pair = make_socket_pair(SOCK_SEQPACKET);
  const std::string text(1 << 20, 'x');
  auto pipe = make_pipe();
  ASSERT_TRUE(send_message(pair->a, text, {pipe->read.get()}));
  const auto got = receive_message(pair->b);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->text.size(), text.size());
  EXPECT_EQ(got->fds.size(), 1U);
}

TEST(Channel, AClosedPeerIsNotFound) {
  auto pair = make_socket_pair(SOCK_SEQPACKET);
  pair->a.reset();
  EXPECT_EQ(receive_message(pair->b).error().code, Errc::not_found);
  EXPECT_FALSE(send_message(pair->b, "x", {}));
}

TEST(ListenUnix, ReplacesAStaleFileAndRefusesALivingOne) {
  const Scratch s;
  const auto path = s / "sock";
  {
    const auto first = listen_unix(path, SOCK_STREAM);
    ASSERT_TRUE(first);
    EXPECT_EQ(listen_unix(path, SOCK_STREAM).error().code, Errc::conflict);
    struct stat st {};
    ASSERT_EQ(::stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777U, 0600U);
  }
  EXPECT_TRUE(listen_unix(path, SOCK_STREAM)) << "the file of a dead process is stale";
}

// The umask is the whole process's: files that other threads make meanwhile would get it.
TEST(ListenUnix, LeavesTheUmaskAlone) {
  const Scratch s;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // From here on umask(2) ends the process.
    std::array<sock_filter, 4> code{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_umask, 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    sock_fprog program{code.size(), code.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
      ::_exit(2);
    ::_exit(listen_unix(s / "sock", SOCK_STREAM) ? 0 : 3);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  struct stat st {};
  ASSERT_EQ(::stat((s / "sock").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0600U);
}

TEST(ListenUnix, TakesLongPaths) {
  const Scratch s;
  const auto folder = s / std::string(150, 'd');
  ASSERT_TRUE(make_dirs(folder));
  const auto listener = listen_unix(folder + "/sock", SOCK_STREAM);
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_TRUE(connect_unix(folder + "/sock", SOCK_STREAM));
  EXPECT_TRUE(accept_connection(*listener));
}

TEST(ListenUnix, DoesNotTakeThePlaceOfAnOrdinaryFile) {
  const Scratch s;
  ASSERT_TRUE(write_file_atomic(s / "file", "mine"));
  EXPECT_FALSE(listen_unix(s / "file", SOCK_STREAM));
  EXPECT_EQ(read_file(s / "file"), "mine");
}

}  // namespace
}  // namespace coracle
