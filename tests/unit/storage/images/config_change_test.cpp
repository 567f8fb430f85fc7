#include "storage/images/config_change.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/images/shell_word.hpp"

namespace coracle::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ConfigChange, AppliesDockerfileInstructions) {
  ImageConfig c;
  const auto done = apply_changes(
      c, {"CMD [\"a\", \"b\"]", "env A=1 B=\"x y\"", "ENV C some text", "EXPOSE 80 53/udp 90-91",
          "LABEL k=v", "USER 1:2", "VOLUME /a /b", "WORKDIR /x", "WORKDIR y", "STOPSIGNAL INT",
          "ONBUILD RUN x", "HEALTHCHECK --interval=1m30s --retries=2 CMD true"});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(std::vector<std::string>({"a", "b"}), c.cmd);
  EXPECT_EQ(std::vector<std::string>({"A=1", "B=x y", "C=some text"}), c.env);
  EXPECT_EQ(4U, c.exposed_ports.size());
  EXPECT_TRUE(c.exposed_ports.contains("91/tcp"));
  EXPECT_EQ("v", c.labels["k"]);
  EXPECT_EQ("/x/y", c.working_dir);
  EXPECT_EQ(90'000'000'000, c.healthcheck->interval_ns);
  EXPECT_EQ(std::vector<std::string>({"CMD-SHELL", "true"}), c.healthcheck->test);
  EXPECT_FALSE(apply_changes(c, {"RUN x"}));
  EXPECT_FALSE(apply_changes(c, {"EXPOSE 99999"}));
  EXPECT_FALSE(apply_changes(c, {"HEALTHCHECK --interval=5 CMD x"}));
}

// What a word comes to, or "error: …".
std::string made_of(std::string_view text) {
  const std::vector<std::string> env = {"A=1", "EMPTY=", "TEXT=x y", "FILE=/a/b/c.tar.gz",
                                        "A2=two"};
  auto word = WordExpander(env).word(text);
  return word ? *word : "error: " + word.error().message;
}

TEST(ShellWord, PutsVariablesIn) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"$A", "1"},
      {"${A}b", "1b"},
      {"$A2$A", "two1"},
      {"$Ab", ""},
      {"$", "$"},
      {"a$ b", "a$ b"},
      {"$9x", "x"},
      {"'$A'", "$A"},
      {"\"$A 'q'\"", "1 'q'"},
      {"\\$A", "$A"},
      {"\"\\$A \\n\"", "$A \\n"},
      {"a\\ b", "a b"},
      {"${NO:-none}", "none"},
      {"${NO-none}", "none"},
      {"${EMPTY:-none}", "none"},
      {"${EMPTY-none}", ""},
      {"${A:+there}", "there"},
      {"${EMPTY:+there}", ""},
      {"${EMPTY+there}", "there"},
      {"${NO:-${A:-x}y}", "1y"},
      {"${A:?gone}", "1"},
      {"${FILE#*/}", "a/b/c.tar.gz"},
      {"${FILE##*/}", "c.tar.gz"},
      {"${FILE%.*}", "/a/b/c.tar"},
      {"${FILE%%.*}", "/a/b/c"},
      {"${FILE#x}", "/a/b/c.tar.gz"},
      {"${FILE/b/B}", "/a/B/c.tar.gz"},
      {"${FILE//a/A}", "/A/b/c.tAr.gz"},
      {"${FILE/.*/}", "/a/b/c"},
      {"${TEXT/\\?/q}", "x y"},
      {"${TEXT//?/q}", "qqq"},
  };
  for (const auto& [text, wanted] : cases) EXPECT_EQ(made_of(text), wanted) << text;
}

TEST(ShellWord, RefusesWhatDoesNotEnd) {
  for (const char* text : {"${A", "${", "${}", "${:-x}", "${A:-x", "${A!x}", "${A:#x}", "'x", "\"x",
                           "${A/x", "${A/x/", "${NO?}", "${EMPTY:?}"})
    EXPECT_THAT(made_of(text), testing::StartsWith("error: failed to process")) << text;
  EXPECT_THAT(made_of("${NO:?wanted}"), HasSubstr("NO: wanted"));
}

TEST(ShellWord, IsBounded) {
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += "${NO:-";
  EXPECT_THAT(made_of(deep), HasSubstr("nested too deeply"));
  const std::vector<std::string> env = {"LONG=" + std::string(100'000, 'a')};
  std::string much;
  for (int i = 0; i < 1000; ++i) much += "$LONG";
  EXPECT_FALSE(WordExpander(env).word(much));
  // Nothing of these stays, and they cost time all the same.
  much.clear();
  for (int i = 0; i < 1000; ++i) much += "${NO:+$LONG}";
  EXPECT_FALSE(WordExpander(env).word(much));
  EXPECT_FALSE(WordExpander(env).word("${LONG//*a*a*a*a*b/x}"));
}

TEST(ConfigChange, SeesTheVariablesOfTheImageAndOfTheLinesBefore) {
  ImageConfig c;
  c.env = {"PATH=/bin", "PORT=80 443"};
  const auto done = apply_changes(
      c, {"ENV A=$PATH B=$A", "ENV B=$A:x PATH=\"$PATH:/x y\"", "ENV C $A  'quoted'", "LABEL of=$A",
          "EXPOSE $PORT 53/udp", "USER ${A#/}", "VOLUME /v$B [", "VOLUME [\"/w$C\"]", "WORKDIR $A",
          "WORKDIR sub", "STOPSIGNAL ${SIG:-INT}", "CMD echo $A", "ONBUILD RUN $A"});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(c.env,
              ElementsAre("PATH=/bin:/x y", "PORT=80 443", "A=/bin", "B=/bin:x", "C=/bin  quoted"));
  EXPECT_EQ(c.labels["of"], "/bin");
  EXPECT_TRUE(c.exposed_ports.contains("443/tcp"));
  EXPECT_EQ(c.user, "bin");
  EXPECT_TRUE(c.volumes.contains("/v/bin:x"));
  EXPECT_TRUE(c.volumes.contains("/w/bin  quoted"));
  EXPECT_EQ(c.working_dir, "/bin/sub");
  EXPECT_EQ(c.stop_signal, "INT");
  EXPECT_EQ(c.cmd.back(), "echo $A");  // the shell's own
  EXPECT_EQ(c.on_build, std::vector<std::string>{"RUN $A"});
}

TEST(ConfigChange, EachLineIsAnInstruction) {
  ImageConfig c;
  const auto done =
      apply_changes(c, {"ENV A=1\nENV B=2\r\n\n  # ENV C=3\n  env D=4 \\ \n  # no\n\n E=5",
                        "LABEL x=1 \\", "y=2", "USER a\\\\"});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(c.env, ElementsAre("A=1", "B=2", "D=4", "E=5"));
  EXPECT_THAT(c.labels, ElementsAre(testing::Pair("x", "1"), testing::Pair("y", "2")));
  EXPECT_EQ(c.user, "a\\");
  EXPECT_FALSE(apply_changes(c, {"ENV A=1\nRUN x"}));
  EXPECT_FALSE(apply_changes(c, {"ENV =1"}));
  EXPECT_FALSE(apply_changes(c, {"ENV $NO=1"}));
  EXPECT_FALSE(apply_changes(c, {"VOLUME $NO"}));
}

TEST(ConfigChange, VariablesThatDoubleAreStopped) {
  ImageConfig c;
  const std::vector<std::string> doubling(100, "ENV A=$A$A");
  std::vector<std::string> changes = {"ENV A=0123456789"};
  changes.insert(changes.end(), doubling.begin(), doubling.end());
  const auto done = apply_changes(c, changes);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::invalid_argument);
}

}  // namespace
}  // namespace coracle::storage
