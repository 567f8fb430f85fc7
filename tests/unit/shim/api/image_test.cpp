#include "tests/unit/shim/shim_fixture.hpp"

namespace coracle::test {
namespace {

class Images : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    storage::Image box;
    box.id = "sha256:" + std::string(64, '1');
    box.repo_tags = {"busybox:1"};
    box.os = "linux";
    box.architecture = "amd64";
    box.size = 5;
    box.layer_sizes = {2, 3};
    box.diff_ids = {"sha256:a", "sha256:b"};
    box.history = {{Time{1'000'000'000}, "ADD", "", "", false},
                   {Time{2'000'000'000}, "ENV", "", "", true},
                   {Time{3'000'000'000}, "COPY", "", "", false}};
    engine().images().all["busybox:1"] = box;
    engine().images().all["h:5/a/b@sha256:x"] = box;
  }
};

TEST_F(Images, NamesMayHoldSlashesEncodedOrNot) {
  EXPECT_EQ(ask("GET", "/images/h:5/a/b@sha256:x/json").status, 200);
  EXPECT_EQ(ask("GET", "/images/h%3A5%2Fa%2Fb%40sha256%3Ax/json").status, 200);
  EXPECT_EQ(ask("GET", "/images/no/json").message(), "No such image: no");
}

TEST_F(Images, InspectAndListFollowTheVersion) {
  EXPECT_TRUE(
      ask("GET", "/v1.43/images/busybox:1/json").json().as_object().contains("VirtualSize"));
  EXPECT_FALSE(
      ask("GET", "/v1.44/images/busybox:1/json").json().as_object().contains("VirtualSize"));
  engine().images().all["busybox:1"].repo_tags.clear();
  EXPECT_EQ(ask("GET", "/v1.42/images/json").json().at(0).at("RepoTags").at(0).as_string(),
            "<none>:<none>");
  EXPECT_TRUE(ask("GET", "/v1.43/images/json").json().at(0).at("RepoTags").as_array().empty());
  EXPECT_EQ(ask("GET", "/v1.51/images/json").json().at(0).at("Containers").as_int64(), 3);
  EXPECT_EQ(ask("GET", "/v1.50/images/json").json().at(0).at("Containers").as_int64(), -1);
}

TEST_F(Images, SharedSizesAreCountedWhenTheyAreAskedFor) {
  engine().usage().image_uses = {{engine().images().all["busybox:1"], 2, 0}};
  const auto size_at = [this](const std::string& path) {
    return ask("GET", path).json().at(0).at("SharedSize").as_int64();
  };
  EXPECT_EQ(size_at("/v1.42/images/json?shared-size=1"), 2);
  EXPECT_EQ(size_at("/v1.42/images/json?shared-size=0"), -1);
  EXPECT_EQ(size_at("/v1.42/images/json"), -1);
  EXPECT_EQ(size_at("/v1.41/images/json?shared-size=1"), -1);
}

TEST_F(Images, OldClientsReadTheConfigurationOfAContainer) {
  auto& box = engine().images().all["busybox:1"];
  box.config.volumes["/data"];
  box.config.env = {"A=1"};
  const auto old = ask("GET", "/v1.44/images/busybox:1/json").json();
  EXPECT_TRUE(old.at("ContainerConfig").at("Volumes").as_object().contains("/data"));
  EXPECT_EQ(old.at("ContainerConfig").at("Env").at(0).as_string(), "A=1");
  EXPECT_FALSE(
      ask("GET", "/v1.45/images/busybox:1/json").json().as_object().contains("ContainerConfig"));
}

TEST_F(Images, TheGraphDriversDataNamesTheLayers) {
  auto& box = engine().images().all["busybox:1"];
  const auto data = [this] {
    return ask("GET", "/images/busybox:1/json").json().at("GraphDriver").at("Data");
  };
  EXPECT_TRUE(data().is_null());
  box.layer_dirs = {"/l/1"};
  EXPECT_EQ(data().at("UpperDir").as_string(), "/l/1");
  EXPECT_FALSE(data().as_object().contains("LowerDir"));
  box.layer_dirs = {"/l/1", "/l/2", "/l/3"};
  EXPECT_EQ(data().at("UpperDir").as_string(), "/l/3");
  EXPECT_EQ(data().at("LowerDir").as_string(), "/l/2:/l/1");
}

TEST_F(Images, HistoryIsNewestFirstWithTheSizesOfItsLayers) {
  const auto h = ask("GET", "/images/busybox:1/history").json();
  EXPECT_EQ(h.at(0).at("CreatedBy").as_string(), "COPY");
  EXPECT_EQ(h.at(0).at("Size").as_int64(), 3);
  EXPECT_EQ(h.at(0).at("Tags").at(0).as_string(), "busybox:1");
  EXPECT_EQ(h.at(1).at("Size").as_int64(), 0);
  EXPECT_EQ(h.at(2).at("Id").as_string(), "<missing>");
  EXPECT_EQ(h.at(2).at("Size").as_int64(), 2);
}

TEST_F(Images, PullStreamsLines) {
  engine().images().pull_lines = {{"3", "Pulling from library/alpine", "", 0, 0},
                                  {"abc", "Downloading", "", 5, 10},
                                  {"", "Status: Downloaded newer image for alpine:3", "", 0, 0}};
  const std::string auth = base64_encode(R"({"username":"u","password":"p"})");
  const auto answer =
      ask("POST", "/images/create?fromImage=alpine&tag=3", "", "X-Registry-Auth: " + auth + "\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  EXPECT_EQ(answer.headers.at("transfer-encoding"), "chunked");
  EXPECT_EQ(answer.body,
            "{\"status\":\"Pulling from library/alpine\",\"progressDetail\":{},\"id\":\"3\"}\r\n"
            "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5,\"total\":10},"
            "\"id\":\"abc\"}\r\n"
            "{\"status\":\"Status: Downloaded newer image for alpine:3\"}\r\n");
  EXPECT_EQ(engine().images().last_reference.path, "library/alpine");
  EXPECT_EQ(engine().images().last_reference.tag, "3");
  EXPECT_EQ(engine().images().last_auth.username, "u");
}

TEST_F(Images, CredentialsAndPlatformsHaveKeysInAnyCase) {
  const std::string auth = base64_encode(R"({"Username":"u","PassWord":"p","serverAddress":"s"})");
  ask("POST", "/images/create?fromImage=alpine", "", "X-Registry-Auth: " + auth + "\r\n");
  EXPECT_EQ(engine().images().last_auth.username, "u");
  EXPECT_EQ(engine().images().last_auth.password, "p");
  EXPECT_EQ(ask("POST", "/auth", R"({"UserName":"u","Password":"right"})").status, 200);
  engine().images().all["busybox:1"].architecture = "amd64";
  const auto removed =
      ask("DELETE",
          "/images/busybox:1?platforms=%7B%22OS%22:%22linux%22,%22Architecture%22:%22amd64%22%7D");
  EXPECT_EQ(removed.status, 200) << removed.body;
}

TEST_F(Images, PullTakesADigestForATagAndGarbageForNoCredentials) {
  const std::string digest = "sha256:" + std::string(64, 'd');
  EXPECT_EQ(ask("POST", "/images/create?fromImage=127.0.0.1:5000/x&tag=" + digest, "",
                "X-Registry-Auth: %%%\r\n")
                .status,
            200);
  EXPECT_EQ(engine().images().last_reference.digest, digest);
  EXPECT_EQ(engine().images().last_auth.username, "");
}

TEST_F(Images, APullWithoutATagMeansAllOfThem) {
  for (const char* path :
       {"/images/create?fromImage=alpine", "/images/create?fromImage=alpine&tag="}) {
    EXPECT_EQ(ask("POST", path).status, 200);
    EXPECT_EQ(engine().images().last_reference.familiar(), "alpine");
  }
  ask("POST", "/images/create?fromImage=alpine:3");
  EXPECT_EQ(engine().images().last_reference.tag, "3");
}

TEST_F(Images, APullThatFailsAtOnceIsAPlainError) {
  engine().images().pull_error = Error{Errc::not_found, 0, "manifest for x not found"};
  const auto answer = ask("POST", "/images/create?fromImage=x");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.message(), "manifest for x not found");
}

TEST_F(Images, APlatformThatIsNoneIsRefusedBeforeAnythingIsAsked) {
  for (const char* path : {"/images/create?fromImage=x&platform=foobar",
                           "/images/create?fromSrc=-&platform=linux/a/b/c"}) {
    const auto answer = ask("POST", path);
    EXPECT_EQ(answer.status, 400) << path;
    EXPECT_NE(answer.message().find("invalid argument"), std::string::npos) << answer.body;
  }
  EXPECT_EQ(engine().images().last_reference.path, "");
  EXPECT_EQ(ask("POST", "/images/create?fromImage=x&platform=arm64").status, 200);
}

TEST_F(Images, APullThatFailsLaterEndsWithAnErrorLine) {
  engine().images().pull_lines = {{"3", "Pulling from library/alpine", "", 0, 0}};
  engine().images().pull_error = Error{Errc::internal, 0, "connection lost"};
  const auto answer = ask("POST", "/images/create?fromImage=x");
  EXPECT_EQ(answer.status, 200);
  EXPECT_NE(answer.body.find(
                R"({"errorDetail":{"message":"connection lost"},"error":"connection lost"})"),
            std::string::npos);
  EXPECT_TRUE(answer.whole);
}

TEST_F(Images, AClientThatLeavesEndsThePull) {
  engine().images().pull_lines = {{"3", "Pulling from library/alpine", "", 0, 0}};
  engine().images().pull_never_ends = true;
  auto client = connect();
  client.send("POST /images/create?fromImage=x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read(true).status, 200);
  client.close();
  EXPECT_TRUE(eventually([&] { return engine().happenings.cancelled.load(); }));
}

TEST_F(Images, LoadStreamsTheBodyThroughAPipe) {
  const auto answer = ask("POST", "/images/load?quiet=1", std::string(5'000'000, 't'),
                          "Content-Type: application/x-tar\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "{\"stream\":\"Loaded image: x:1\\n\"}\r\n");
  EXPECT_EQ(engine().images().loaded_bytes, 5'000'000u);
  EXPECT_TRUE(engine().images().load_whole);
}

TEST_F(Images, ALoadThatFailsIsAnErrorInTheStream) {
  engine().images().load_error = Error{Errc::invalid_argument, 0, "no archive of images"};
  const auto answer = ask("POST", "/images/load", "abc");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            "{\"errorDetail\":{\"message\":\"no archive of images\"},\"error\":\"no archive of "
            "images\"}\r\n");
  EXPECT_TRUE(answer.whole);
}

TEST_F(Images, LoadOfAChunkedBodyWithExpectation) {
  auto client = connect();
  client.send(
      "POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: "
      "100-continue\r\n\r\n");
  EXPECT_EQ(client.read(true).status, 100);
  for (int i = 0; i < 50; ++i) client.send("2710\r\n" + std::string(10'000, 'c') + "\r\n");
  client.send("0\r\n\r\n");
  EXPECT_EQ(client.read().status, 200);
  EXPECT_EQ(engine().images().loaded_bytes, 500'000u);
}

TEST_F(Images, AnUploadThatIsCutIsNeverTakenForTheWhole) {
  auto client = connect();
  client.send("POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" +
              std::string(51'200, 't'));
  client.half_close();
  EXPECT_NE(client.read().body.find("\"errorDetail\""), std::string::npos);
  EXPECT_EQ(engine().images().loaded_bytes, 51'200U);
  EXPECT_FALSE(engine().images().load_whole);
}

TEST_F(Images, ImportNamesTheImage) {
  const auto answer =
      ask("POST", "/images/create?fromSrc=-&repo=box&tag=2", "tar", "Content-Type: x/y\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "{\"status\":\"sha256:" + std::string(64, 'a') + "\"}\r\n");
  EXPECT_EQ(engine().images().last, "box:2");
}

TEST_F(Images, ImportOfAUrlIsToldWhereAndGivesProgress) {
  const auto answer = ask("POST", "/images/create?fromSrc=http://x/y.tar&repo=box&tag=3");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            "{\"status\":\"Downloading from http://x/y.tar\"}\r\n{\"status\":\"sha256:" +
                std::string(64, 'a') + "\"}\r\n");
  EXPECT_EQ(engine().images().last, "box:3");
}

TEST_F(Images, APushNamesOneTagOrAll) {
  const auto one = ask("POST", "/images/127.0.0.1:5000/x/push?tag=2");
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(one.body, "{\"progressDetail\":{},\"aux\":{\"Tag\":\"2\",\"Digest\":\"sha256:" +
                          std::string(64, 'b') + "\",\"Size\":7}}\r\n");
  EXPECT_EQ(engine().images().last_reference.familiar(), "127.0.0.1:5000/x:2");
  ask("POST", "/images/127.0.0.1:5000/x:3/push");
  EXPECT_EQ(engine().images().last_reference.tag, "3");
  ask("POST", "/images/127.0.0.1:5000/x/push");
  EXPECT_EQ(engine().images().last_reference.tag, "");
  EXPECT_EQ(ask("POST", "/images/x@sha256:" + std::string(64, 'a') + "/push").status, 400);
  EXPECT_EQ(ask("POST", "/images/X/push").status, 400);
  EXPECT_EQ(ask("POST", "/images/x/push?tag=a@b").status, 400);
  // From the version on that knows it.
  const std::string platform =
      "/push?tag=1&platform=%7B%22os%22:%22linux%22,%22architecture%22:%22arm%22%7D";
  ask("POST", "/v1.45/images/x" + platform);
  EXPECT_FALSE(engine().images().last_platform);
  ask("POST", "/v1.46/images/x" + platform);
  EXPECT_EQ(engine().images().last_platform->architecture, "arm");
}

TEST_F(Images, ARegistryIsAskedForAnImage) {
  const auto answer = ask("GET", "/distribution/alpine/json");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(json::serialize(answer.json()),
            "{\"Descriptor\":{\"mediaType\":\"application/x\",\"digest\":\"sha256:" +
                std::string(64, 'c') +
                "\",\"size\":9},\"Platforms\":[{\"architecture\":\"arm64\",\"os\":\"linux\","
                "\"variant\":\"v8\"},{\"architecture\":\"amd64\",\"os\":\"linux\"}]}");
  EXPECT_EQ(engine().images().last_reference.tag, "latest");
}

TEST_F(Images, SearchHasALimitAndFilters) {
  EXPECT_EQ(json::serialize(ask("GET", "/images/search?term=alp").json()),
            R"([{"name":"alpine","description":"","star_count":3,"is_official":true,)"
            R"("is_automated":false}])");
  EXPECT_EQ(engine().images().last, "alp 25 0");
  ask("GET", "/images/search?term=alp&limit=100&filters=%7B%22stars%22:%5B%223%22%5D%7D");
  EXPECT_EQ(engine().images().last, "alp 100 1");
  for (const char* bad :
       {"limit=0", "limit=101", "limit=x", "filters=%7B%22size%22:%5B%223%22%5D%7D"})
    EXPECT_EQ(ask("GET", std::string("/images/search?term=a&") + bad).status, 400) << bad;
}

TEST_F(Images, SaveStreamsAnArchive) {
  engine().images().save_bytes = 3'000'000;
  const auto answer = ask("GET", "/images/get?names=busybox:1");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/x-tar");
  EXPECT_EQ(answer.body.size(), 3'000'000u);
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(ask("GET", "/images/none/get").status, 404);
}

TEST_F(Images, SaveTakesAllTagsOfARepositoryOnBothRoutes) {
  engine().images().repositories["box"] = {"box:1", "box:2"};
  EXPECT_EQ(ask("GET", "/images/box/get").status, 200);
  EXPECT_EQ(engine().images().last_saved, (std::vector<std::string>{"box:1", "box:2"}));
  EXPECT_EQ(ask("GET", "/images/get?names=busybox:1&names=box").status, 200);
  EXPECT_EQ(engine().images().last_saved,
            (std::vector<std::string>{"busybox:1", "box:1", "box:2"}));
}

TEST_F(Images, AClientThatLeavesEndsTheSave) {
  engine().images().save_bytes = 50'000'000;
  auto client = connect();
  client.send("GET /images/busybox:1/get HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read(true).status, 200);
  client.close();
  EXPECT_TRUE(eventually([&] { return engine().happenings.cancelled.load(); }));
}

// JSON, with what an URL cannot have escaped.
std::string platform(const std::string& os, const std::string& architecture) {
  return "platform=%7B%22os%22:%22" + os + "%22,%22architecture%22:%22" + architecture + "%22%7D";
}

TEST_F(Images, AnotherPlatformIsNotFoundByVersionsThatKnowIt) {
  const std::string missing =
      "image with reference busybox:1 was found but its platform (linux/amd64) does not match the "
      "specified platform (linux/arm64)";
  const auto right = platform("linux", "amd64");
  const auto other = platform("linux", "arm64");
  const std::string image = "/images/busybox:1/";
  for (const auto& [version, what] :
       {std::pair{"/v1.49", "json"}, std::pair{"/v1.48", "history"}}) {
    EXPECT_EQ(ask("GET", version + image + what + "?" + right).status, 200);
    const auto answer = ask("GET", version + image + what + "?" + other);
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.message(), missing);
  }
  EXPECT_EQ(ask("GET", "/v1.48" + image + "json?" + other).status, 200);
  EXPECT_EQ(ask("GET", "/v1.47" + image + "history?" + other).status, 200);
  EXPECT_EQ(ask("GET", "/v1.49" + image + "json?manifests=1&" + right).status, 400);
  EXPECT_EQ(ask("GET", "/v1.49" + image + "json?platform=linux/amd64").status, 400);
  EXPECT_EQ(ask("GET", "/v1.49" + image + "json?platform=%7B%22os%22:%22linux%22%7D").message(),
            "both OS and Architecture must be provided");
  // DELETE has a list of them.
  EXPECT_EQ(ask("DELETE", "/v1.50/images/busybox:1?platforms" + other.substr(8)).message(),
            missing);
  EXPECT_EQ(ask("DELETE", "/v1.49/images/busybox:1?platforms" + other.substr(8)).status, 200);
}

TEST_F(Images, SaveAndLoadTakeAPlatform) {
  engine().images().save_bytes = 100;
  const auto right = platform("linux", "amd64");
  const auto other = platform("linux", "arm64");
  for (const std::string path : {"/images/busybox:1/get?", "/images/get?names=busybox:1&"}) {
    EXPECT_EQ(ask("GET", "/v1.48" + path + right).status, 200);
    const auto answer = ask("GET", "/v1.48" + path + other);
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.message(), "no suitable export target found for platform linux/arm64");
    EXPECT_EQ(ask("GET", "/v1.47" + path + other).status, 200);
    EXPECT_EQ(ask("GET", "/v1.48" + path + right + "&" + other).message(),
              "multiple platform parameters not supported");
  }
  EXPECT_EQ(ask("POST", "/v1.47/images/load?" + other, "tar").status, 200);
  EXPECT_FALSE(engine().images().last_platform);
  EXPECT_EQ(ask("POST", "/v1.48/images/load?" + other, "tar").status, 200);
  ASSERT_TRUE(engine().images().last_platform);
  EXPECT_EQ(engine().images().last_platform->architecture, "arm64");
}

TEST_F(Images, TagAndRemove) {
  EXPECT_EQ(ask("POST", "/images/busybox:1/tag?repo=a&tag=b").status, 201);
  EXPECT_EQ(engine().images().last, "tag busybox:1 a b");
  EXPECT_EQ(ask("DELETE", "/images/busybox:1?force=1").body,
            "[{\"Untagged\":\"busybox:1\"},{\"Deleted\":\"sha256:1\"}]\n");
  EXPECT_EQ(engine().images().last, "rmi busybox:1 true");
}

}  // namespace
}  // namespace coracle::test
