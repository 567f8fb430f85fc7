// Pulls from the real docker-registry on loopback.
#include <csignal>
#include <cstdlib>

#include <gtest/gtest.h>

#include "engine/base/process/process.hpp"
#include "tests/integration/small_http.hpp"
#include "tests/integration/test_image.hpp"
#include "tests/unit/storage/in_user_namespace.hpp"

namespace coracle::test {
namespace {

constexpr const char* kProgram = "/usr/bin/docker-registry";

int free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto address = loopback(0);
  socklen_t size = sizeof address;
  EXPECT_EQ(0, ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size));
  EXPECT_EQ(0, ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size));
  return ntohs(address.sin_port);
}

class DockerRegistry : public testing::Test {
 protected:
  void SetUp() override {
    NEEDS_NAMESPACE();
    if (::access(kProgram, X_OK) != 0) GTEST_SKIP() << kProgram << " is not installed";
    port = free_port();
    host = "127.0.0.1:" + std::to_string(port);
    mkdirs(scratch / "registry");
    put(scratch / "config.yml",
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  "
        "filesystem:\n    rootdirectory: " +
            (scratch / "registry") + "\nhttp:\n  addr: " + host + "\n");
    SpawnOptions options;
    options.program = kProgram;
    options.argv = {"docker-registry", "serve", scratch / "config.yml"};
    auto spawned = spawn(options);
    ASSERT_TRUE(spawned) << spawned.error().message;
    process = *std::move(spawned);
    for (int i = 0; i < 2400 && send_request(port, "GET", "/v2/").status != 200; ++i)
      ::usleep(25000);
    ASSERT_EQ(send_request(port, "GET", "/v2/").status, 200);
  }
  void TearDown() override {
    if (!process) return;
    EXPECT_TRUE(process.send_signal(SIGKILL));
    EXPECT_TRUE(process.wait());
  }
  void push_blob(const std::string& repository, const std::string& digest,
                 const std::string& blob) {
    const auto begun = send_request(port, "POST", "/v2/" + repository + "/blobs/uploads/");
    ASSERT_EQ(begun.status, 202);
    std::string location = begun.headers.at("location");
    location.erase(0, location.find("/v2/"));
    const auto sent =
        send_request(port, "PUT", location + "&digest=" + digest, blob, "application/octet-stream");
    ASSERT_EQ(sent.status, 201) << sent.body;
  }
  void push(const std::string& repository, const std::string& tag, const TestImage& image) {
    for (const auto& l : image.layers) push_blob(repository, l.digest, l.blob);
    push_blob(repository, image.config_digest, image.config);
    const auto sent =
        send_request(port, "PUT", "/v2/" + repository + "/manifests/" + tag, image.manifest,
                     "application/vnd.docker.distribution.manifest.v2+json");
    ASSERT_EQ(sent.status, 201) << sent.body;
  }

  Scratch scratch;
  int port = 0;
  std::string host;
  Pidfd process;
};

TEST_F(DockerRegistry, GivesAnImageWithItsLayersNamesAndDigests) {
  std::vector<TestLayer> made;
  for (const char* name : {"one", "two", "three", "four", "five"})
    made.push_back(make_layer(scratch, name, std::string(100000, name[0])));
  const auto image = make_image(made);
  push("team/app", "v1", image);

  TestStore store;
  const auto pulled = store.pull(host + "/team/app:v1");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(pulled->id, image.config_digest);
  EXPECT_EQ(pulled->repo_tags, std::vector<std::string>{host + "/team/app:v1"});
  EXPECT_EQ(pulled->repo_digests,
            std::vector<std::string>{host + "/team/app@" + image.manifest_digest});
  const auto stack = store.layers.diff_paths(pulled->diff_ids);
  ASSERT_TRUE(stack);
  ASSERT_EQ(stack->size(), 5U);
  EXPECT_EQ(get(stack->front() + "/five"), std::string(100000, 'f'));
  EXPECT_EQ(get(stack->back() + "/one"), std::string(100000, 'o'));

  EXPECT_EQ(store.lines.front(), "v1: Pulling from team/app");
  for (const char* status :
       {"Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"})
    EXPECT_EQ(store.said(status), 5) << status;
  EXPECT_EQ(store.said("Waiting"), 2);
  ASSERT_GE(store.lines.size(), 2U);
  EXPECT_EQ(store.lines[store.lines.size() - 2], "Digest: " + image.manifest_digest);
  EXPECT_EQ(store.lines.back(), "Status: Downloaded newer image for " + host + "/team/app:v1");

  const auto again = store.pull(host + "/team/app:v1");
  ASSERT_TRUE(again);
  EXPECT_EQ(store.lines.back(), "Status: Image is up to date for " + host + "/team/app:v1");
  EXPECT_EQ(store.said("fs layer"), 0);

  made.push_back(make_layer(scratch, "six", "6"));
  push("team/app", "v2", make_image(made));
  ASSERT_TRUE(store.pull(host + "/team/app:v2"));
  EXPECT_EQ(store.said("Already exists"), 5);
  EXPECT_EQ(store.said("Pull complete"), 1);

  const auto by_digest = store.pull(host + "/team/app@" + image.manifest_digest);
  ASSERT_TRUE(by_digest) << by_digest.error().message;
  EXPECT_EQ(by_digest->id, image.config_digest);
}

TEST_F(DockerRegistry, SaysWhatItDoesNotHave) {
  push("team/app", "v1", make_image({make_layer(scratch, "one", "1")}));
  TestStore store;
  const auto no_tag = store.pull(host + "/team/app:v9");
  ASSERT_FALSE(no_tag);
  EXPECT_EQ(no_tag.error().code, Errc::not_found);
  EXPECT_EQ(no_tag.error().message,
            "manifest for " + host + "/team/app:v9 not found: manifest unknown: manifest unknown");
  EXPECT_TRUE(store.lines.empty());
  const auto no_name = store.pull(host + "/nobody/here");
  ASSERT_FALSE(no_name);
  EXPECT_EQ(no_name.error().code, Errc::not_found);
}

}  // namespace
}  // namespace coracle::test
