#include "engine/request/log_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ContainerRecord record(LogConfig log) {
  ContainerRecord r;
  r.id = std::string(64, 'a');
  r.name = "web";
  r.image_id = "sha256:" + std::string(64, 'b');
  r.config.image = "busybox:1";
  r.config.labels = {{"team.name", "x"}, {"tier", "1"}, {"_", "no"}};
  r.config.env = {"STAGE=a=b", "OTHER=1", "BROKEN"};
  r.config.cmd = StringList{{"sleep", "1"}};
  r.host.log_config = std::move(log);
  return r;
}

TEST(WithDefaultLog, TakesTheDaemonsDriverAndFillsInItsOptions) {
  const LogConfig daemon{"local", {{"max-size", "1m"}, {"max-file", "2"}}};
  EXPECT_EQ(with_default_log({}, {}).type, "json-file");
  const auto filled = with_default_log({"", {{"max-file", "7"}}}, daemon);
  EXPECT_EQ(filled.type, "local");
  EXPECT_EQ(filled.config.at("max-file"), "7");
  EXPECT_EQ(filled.config.at("max-size"), "1m");
  EXPECT_TRUE(with_default_log({"json-file", {}}, daemon).config.empty());
}

TEST(CheckLog, NamesWhatItDoesNotKnow) {
  const auto reason = [](const LogConfig& log) {
    const auto checked = check_log(log);
    return checked ? "" : checked.error().message;
  };
  EXPECT_EQ(reason({"", {{"max-size", "1.5MiB"}, {"mode", "non-blocking"}}}), "");
  EXPECT_EQ(reason({"none", {{"anything", "goes"}}}), "");
  EXPECT_EQ(reason({"fluentd", {}}), "logger: no log driver named 'fluentd' is registered");
  EXPECT_THAT(reason({"json-file", {{"env-regex", "("}}}), HasSubstr("error parsing regexp: `(`"));
  EXPECT_THAT(reason({"json-file", {{"tag", "{{.ID"}}}), HasSubstr("unclosed action"));
  EXPECT_THAT(reason({"local", {{"max-size", "5x"}}}), HasSubstr("invalid size: '5x'"));
}

TEST(LogOptions, ReadSizesAsDockerDoes) {
  const auto file =
      log_options(record({"json-file", {{"max-size", "10m"}, {"max-file", "3"}}}), "/d");
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->max_size, 10'000'000);
  EXPECT_EQ(file->max_file, 3);
  EXPECT_FALSE(file->compress);
  EXPECT_EQ(file->path, "/d/" + std::string(64, 'a') + "-json.log");
  const auto local = log_options(record({"local", {}}), "/d");
  EXPECT_EQ(local->max_size, 20'000'000);
  EXPECT_EQ(local->max_file, 5);
  EXPECT_TRUE(local->compress);
  EXPECT_FALSE(log_options(record({"local", {{"max-file", "1"}}}), "/d")->compress);
}

TEST(LogOptions, ChooseAttributesAndFillInTheTag) {
  const LogConfig log{"json-file",
                      {{"labels", "tier,missing"},
                       {"labels-regex", "^team"},
                       {"env", "STAGE,BROKEN"},
                       {"tag", "{{.Name}}-{{ .ID }}-{{.ImageName}}"}}};
  EXPECT_THAT(log_options(record(log), "/d")->attrs,
              ElementsAre("STAGE=a=b", "tag=web-aaaaaaaaaaaa-busybox:1", "team.name=x", "tier=1"));
}

TEST(LogOptions, NameTheContainerToTheJournal) {
  const auto out = log_options(record({"journald", {{"labels-regex", "."}}}), "/d");
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(out->path, kJournalSocket);
  EXPECT_THAT(
      out->attrs,
      ElementsAre("CONTAINER_ID=aaaaaaaaaaaa", "CONTAINER_ID_FULL=" + std::string(64, 'a'),
                  "CONTAINER_NAME=web", "CONTAINER_TAG=aaaaaaaaaaaa", "IMAGE_NAME=busybox:1",
                  "SYSLOG_IDENTIFIER=aaaaaaaaaaaa", "TEAM_NAME=x", "TIER=1"));
}

}  // namespace
}  // namespace coracle
