#include "engine/rootless/vault.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/json.hpp"
#include "engine/rootless/supervisor.hpp"
#include "netstack/protocol.hpp"

namespace coracle::rootless {
namespace {

using netstack::VaultEntry;
using netstack::VaultRequest;
using netstack::vault::Drop;
using netstack::vault::List;
using netstack::vault::Put;
using testing::ElementsAre;

// Netstack's end.
class VaultTest : public testing::Test {
 protected:
  void SetUp() override { connect(); }
  void connect() { theirs_ = vault_.open().value(); }
  void ask(VaultRequest::What what, const std::vector<int>& fds = {}) {
    VaultRequest request;
    request.what = std::move(what);
    ASSERT_TRUE(send_message(theirs_, json::to_text(request), fds));
  }
  // What a list gives: "name=data" and, behind it, the number of descriptors.
  std::vector<std::string> list() {
    ask(List{});
    std::vector<std::string> out;
    for (;;) {
      EXPECT_TRUE(vault_.serve());
      auto message = receive_message(theirs_);
      if (!message) return {"no answer: " + message.error().message};
      const auto entry = json::from_text<VaultEntry>(message->text).value();
      if (entry.end) return out;
      out.push_back(entry.name + "=" + entry.data + " " + std::to_string(message->fds.size()));
      last_fds_ = std::move(message->fds);
    }
  }
  Vault vault_;
  UniqueFd theirs_;
  std::vector<UniqueFd> last_fds_;
};

TEST_F(VaultTest, GivesBackWhatWasPutInTheOrderOfTheFirstPut) {
  ask(Put{"b", "1"}, {0});
  ask(Put{"a", "2"}, {0, 1});
  ask(Put{"b", "3"});
  EXPECT_THAT(list(), ElementsAre("b=3 0", "a=2 2"));
}

TEST_F(VaultTest, ForgetsWhatIsDroppedAndMindsNoUnknownName) {
  ask(Put{"a", "1"});
  ask(Put{"b", "2"});
  ask(Drop{"a"});
  ask(Drop{"never"});
  EXPECT_THAT(list(), ElementsAre("b=2 0"));
}

TEST_F(VaultTest, GivesTheSameOpenFileToTheSuccessor) {
  auto pipe = make_pipe().value();
  struct stat before {};
  ::fstat(pipe.read.get(), &before);
  ask(Put{"pipe", ""}, {pipe.read.get()});
  pipe.read.reset();
  theirs_.reset();
  // A put counts from the moment it was sent, even by one that has ended.
  const auto served = vault_.serve();
  ASSERT_FALSE(served);
  EXPECT_EQ(served.error().code, Errc::not_found);
  connect();
  EXPECT_THAT(list(), ElementsAre("pipe= 1"));
  struct stat after {};
  ASSERT_EQ(::fstat(last_fds_.at(0).get(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
}

TEST_F(VaultTest, SendsAListLongerThanTheSocketsBuffer) {
  const std::string data(20000, 'x');
  for (int i = 0; i < 100; ++i) {
    ask(Put{std::to_string(i), data});
    ASSERT_TRUE(vault_.serve());
  }
  ask(List{});
  ASSERT_TRUE(vault_.serve());
  EXPECT_TRUE(vault_.wants_to_write());
  int count = 0;
  for (;;) {
    const auto message = receive_message(theirs_).value();
    const auto entry = json::from_text<VaultEntry>(message.text).value();
    if (entry.end) break;
    EXPECT_EQ(entry.name, std::to_string(count));
    ++count;
    ASSERT_TRUE(vault_.flush());
  }
  EXPECT_EQ(count, 100);
  EXPECT_FALSE(vault_.wants_to_write());
}

TEST_F(VaultTest, RefusesWhatItDoesNotKnow) {
  ask(message::Unknown{"burn"});
  EXPECT_FALSE(vault_.serve());
}

TEST(RestartDelay, IsNothingAtFirstAndGrowsWithQuickEnds) {
  EXPECT_EQ(restart_delay(0).count(), 0);
  EXPECT_EQ(restart_delay(1).count(), 100);
  EXPECT_EQ(restart_delay(4).count(), 800);
  EXPECT_EQ(restart_delay(1000).count(), 10000);
}

}  // namespace
}  // namespace coracle::rootless
