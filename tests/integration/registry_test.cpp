// Pulls from a small server that does what registries do on bad days.
#include "storage/registry/registry.hpp"

#include <ctime>

#include <gtest/gtest.h>

#include "tests/integration/registry_fixture.hpp"

namespace coracle::test {
namespace {

using storage::RegistryAuth;

TEST_F(Pull, ResumesAfterCutsWhereTheyHappened) {
  const auto image = make_image({make_layer(scratch, "big", noise(400000))});
  std::atomic<int> cuts = 0;
  Server server([&](const Request& r) {
    auto response = serve(image, r);
    if (r.path.ends_with(image.layers[0].digest) && cuts < 3) {
      ++cuts;
      response.cut_after = 50000;
    }
    return response;
  });
  TestStore store;
  const auto pulled = store.pull(server.host() + "/x");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(server.count(image.layers[0].digest), 4);
  EXPECT_EQ(server.requests().back().header("range"), "bytes=150000-");
  EXPECT_GE(store.said("Retrying in 1 second"), 3);
}

TEST_F(Pull, SkipsWhatItHasWhenTheServerIgnoresRanges) {
  const auto image = make_image({make_layer(scratch, "big", noise(400000))});
  std::atomic<int> cuts = 0;
  Server server([&](Request r) {
    r.headers.erase("range");
    auto response = serve(image, r);
    if (r.path.ends_with(image.layers[0].digest) && cuts++ < 1) response.cut_after = 60000;
    return response;
  });
  TestStore store;
  const auto pulled = store.pull(server.host() + "/x");
  ASSERT_TRUE(pulled) << pulled.error().message;
}

TEST_F(Pull, GivesUpAfterFiveCutsWithoutAByteAndLeavesNothing) {
  const auto image = make_image({make_layer(scratch, "big", noise(100000))});
  Server server([&](const Request& r) {
    auto response = serve(image, r);
    if (r.path.ends_with(image.layers[0].digest)) response.cut_after = 0;
    return response;
  });
  TestStore store;
  const auto pulled = store.pull(server.host() + "/x");
  ASSERT_FALSE(pulled);
  EXPECT_NE(pulled.error().message.find("EOF"), std::string::npos) << pulled.error().message;
  EXPECT_EQ(server.count(image.layers[0].digest), 6);
  EXPECT_EQ(store.leftovers(), "");
}

TEST_F(Pull, RefusesALayerWithAnotherDigestAndLeavesNothing) {
  const auto image = make_image({make_layer(scratch, "good", "good")});
  const auto other = make_layer(scratch, "evil", "evil");
  Server server([&](const Request& r) {
    auto response = serve(image, r);
    if (r.path.ends_with(image.layers[0].digest)) response.body = other.blob;
    return response;
  });
  TestStore store;
  const auto pulled = store.pull(server.host() + "/x");
  ASSERT_FALSE(pulled);
  EXPECT_NE(pulled.error().message.find(image.layers[0].digest), std::string::npos)
      << pulled.error().message;
  EXPECT_EQ(store.leftovers(), "");
  EXPECT_TRUE(store.images.images().empty());
}

TEST_F(Pull, RefusesAManifestWithAnotherDigest) {
  const auto image = make_image({make_layer(scratch, "good", "good")});
  Server server([&](const Request& r) { return serve(image, r); });
  TestStore store;
  const auto pulled = store.pull(server.host() + "/x@" + storage::sha256_of("another"));
  ASSERT_FALSE(pulled);
  EXPECT_NE(pulled.error().message.find("manifest verification failed"), std::string::npos);
}

TEST_F(Pull, TakesTheEntryOfAnIndexThatFitsThePlatform) {
  const auto image = make_image({make_layer(scratch, "good", "good")});
  const std::string index =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)"
      R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":")" +
      storage::sha256_of("arm") +
      R"(","platform":{"os":"linux","architecture":"arm64"}},)"
      R"({"mediaType":"application/vnd.docker.distribution.manifest.v2+json","size":1,"digest":")" +
      image.manifest_digest + R"(","platform":{"os":"linux","architecture":"amd64"}}]})";
  Server server([&](const Request& r) {
    auto response = serve(image, r);
    if (r.path.ends_with("/manifests/latest"))
      response = {200, {"Content-Type: application/vnd.oci.image.index.v1+json"}, index};
    return response;
  });
  TestStore store;
  const auto pulled = store.pull(server.host() + "/x");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(pulled->id, image.config_digest);
  EXPECT_EQ(store.said("Digest: " + storage::sha256_of(index)), 1);
  // Which is this host's, for who names none.
  TestStore second;
  EXPECT_TRUE(second.pull(server.host() + "/x", {}, {}));
  const auto other = store.pull(server.host() + "/x", {}, {"linux", "riscv64", ""});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::not_found);
}

TEST_F(Pull, GetsATokenWithTheCredentialsAndKeepsThemFromOtherHosts) {
  const auto image = make_image({make_layer(scratch, "good", "good")});
  Server elsewhere([&](const Request& r) { return serve(image, r); });
  std::string realm;
  Server server([&](const Request& r) -> Response {
    if (r.path.starts_with("/token")) {
      if (r.header("authorization") != "Basic " + base64_encode("ann:secret"))
        return {401, {}, R"({"details":"incorrect username or password"})"};
      if (r.path.find("offline_token=true") != std::string::npos)
        return {200, {}, R"({"token":"T1","refresh_token":"R1","expires_in":300})"};
      return {200, {}, R"({"token":"T1","expires_in":300})"};
    }
    if (r.header("authorization") != "Bearer T1")
      return {401, {"WWW-Authenticate: Bearer realm=\"" + realm + "\",service=\"reg\""}, "{}"};
    if (r.path.ends_with(image.layers[0].digest))
      return {307, {"Location: http://" + elsewhere.host() + r.path}, ""};
    return serve(image, r);
  });
  realm = "http://" + server.host() + "/token";
  TestStore store;
  RegistryAuth auth;
  auth.username = "ann";
  auth.password = "secret";
  const auto pulled = store.pull(server.host() + "/team/x", auth);
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(server.count("/token"), 1);  // kept for all requests of the scope
  EXPECT_EQ(server.count("scope=repository%3Ateam%2Fx%3Apull"), 1);
  ASSERT_EQ(elsewhere.requests().size(), 1U);
  EXPECT_EQ(elsewhere.requests()[0].header("authorization"), "");

  auth.server_address = server.host();
  // What a client keeps instead of the password.
  EXPECT_EQ(run(store.io, store.registry->login(auth)).value_or("none"), "R1");
  auth.password = "wrong";
  const auto refused = run(store.io, store.registry->login(auth));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unauthorized);
  EXPECT_NE(refused.error().message.find("unauthorized: incorrect username or password"),
            std::string::npos);
  EXPECT_EQ(refused.error().message.find("wrong"), std::string::npos);
  const auto anonymous = store.pull(server.host() + "/team/x");
  ASSERT_FALSE(anonymous);
  EXPECT_EQ(anonymous.error().code, Errc::unauthorized);
}

TEST_F(Pull, LogsInWithBasic) {
  Server server([&](const Request& r) -> Response {
    if (r.header("authorization") == "Basic " + base64_encode("ann:secret")) return {200, {}, "{}"};
    return {401, {"WWW-Authenticate: Basic realm=\"r\""}, "{}"};
  });
  TestStore store;
  RegistryAuth auth;
  auth.username = "ann";
  auth.password = "secret";
  auth.server_address = "http://" + server.host() + "/v2/";
  EXPECT_TRUE(run(store.io, store.registry->login(auth)));
  auth.password = "wrong";
  const auto refused = run(store.io, store.registry->login(auth));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unauthorized);
}

TEST_F(Pull, AsksAMirrorOfTheDefaultRegistryFirst) {
  const auto image = make_image({make_layer(scratch, "good", "good")});
  Server empty([](const Request& r) -> Response {
    return r.path == "/v2/" ? Response{200, {}, "{}"} : Response{404, {}, "{}"};
  });
  Server mirror([&](const Request& r) { return serve(image, r); });
  storage::RegistryConfig config;
  config.mirrors = {"http://" + empty.host(), "http://" + mirror.host()};
  TestStore store(config);
  const auto pulled = store.pull("tiny");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(pulled->repo_tags, std::vector<std::string>{"tiny:latest"});
  EXPECT_EQ(empty.count("/v2/library/tiny/manifests/latest"), 1);
  EXPECT_EQ(mirror.count("/v2/library/tiny/manifests/latest"), 1);
}

TEST_F(Pull, SaysWhoRefusedTheConnection) {
  int port = 0;
  {
    const Server closed([](const Request&) { return Response{}; });
    port = closed.port();
  }
  TestStore store;
  const std::string host = "127.0.0.1:" + std::to_string(port);
  const auto pulled = store.pull(host + "/x");
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::internal);
  EXPECT_EQ(pulled.error().message,
            "Get \"http://" + host + "/v2/\": dial tcp " + host + ": connect: connection refused");
}

Coro<void> pull_into(TestStore& store, std::string name,
                     std::shared_ptr<std::optional<Result<storage::Image>>> into) {
  const auto ref = storage::parse_reference(name, true);
  storage::RegistryAuth auth;
  storage::Platform platform{"linux", "amd64", ""};
  into->emplace(
      co_await store.registry->pull(*ref, std::move(auth), std::move(platform), store.sink()));
}

void run_until(asio::io_context& io, const std::function<bool()>& done) {
  io.restart();
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!done() && std::chrono::steady_clock::now() < limit)
    io.run_one_for(std::chrono::milliseconds(20));
  ASSERT_TRUE(done());
}

TEST_F(Pull, EndsCleanlyWhenItIsCancelledAndTheNextOneWorks) {
  const auto image = make_image(
      {make_layer(scratch, "one", noise(200000)), make_layer(scratch, "two", noise(200000))});
  std::atomic<bool> stall = true;
  Server server([&](const Request& r) {
    auto response = serve(image, r);
    if (stall && r.path.ends_with(image.layers[1].digest)) response.stall_after = 100000;
    return response;
  });
  TestStore store;
  const auto result = std::make_shared<std::optional<Result<storage::Image>>>();
  {
    Scope scope(store.io);
    scope.start("pull", pull_into(store, server.host() + "/x", result));
    run_until(store.io,
              [&] { return store.said("Pull complete") == 1 && store.said("Downloading") > 1; });
    run(store.io, scope.close());
  }
  ASSERT_TRUE(result->has_value());
  ASSERT_FALSE(**result);
  EXPECT_EQ(names(store.scratch / "s/tmp"), "");
  EXPECT_EQ(store.layers.list().size(), 1U);
  stall = false;
  const auto pulled = store.pull(server.host() + "/x");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(store.said("Already exists"), 1);
}

// What has arrived is not unpacked to its end for nobody: here it would be gigabytes.
TEST_F(Pull, EndsSoonWhenItIsCancelledWhileALayerIsUnpacked) {
  const std::string in = "cd " + (scratch / "") + " && ";
  const std::string head =
      in + "truncate -s 8G zeros && tar -cf - zeros | head -c 512 | gzip > head.gz";
  const std::string zeros = in + "head -c 64M /dev/zero | gzip -9 > zeros.gz";
  ASSERT_EQ(std::system(head.c_str()), 0);
  ASSERT_EQ(std::system(zeros.c_str()), 0);
  TestLayer layer;
  layer.blob = get(scratch / "head.gz");
  const std::string piece = get(scratch / "zeros.gz");
  for (int i = 0; i < 8 * 16; ++i) layer.blob += piece;
  layer.digest = storage::sha256_of(layer.blob);
  layer.diff_id = storage::sha256_of("never reached");
  const auto image = make_image({layer});
  Server server([&](const Request& r) { return serve(image, r); });
  TestStore store;
  const auto result = std::make_shared<std::optional<Result<storage::Image>>>();
  Scope scope(store.io);
  scope.start("pull", pull_into(store, server.host() + "/x", result));
  run_until(store.io, [&] { return store.said("Downloading") > 0; });
  ASSERT_FALSE(result->has_value());
  // Half of the blob waits in the queue; to unpack it takes longer. Processor time: that of others
  // is not counted.
  const std::clock_t begin = std::clock();
  run(store.io, scope.close());
  EXPECT_LT(std::clock() - begin, 2 * CLOCKS_PER_SEC);
  ASSERT_TRUE(result->has_value());
  EXPECT_FALSE(**result);
  EXPECT_EQ(store.leftovers(), "");
}

TEST_F(Pull, SharesTheDownloadWithAnotherPullAndGoesOnWhenThatOneIsCancelled) {
  const auto image = make_image({make_layer(scratch, "one", noise(200000))});
  std::atomic<int> stalls = 1;
  Server server([&](const Request& r) {
    auto response = serve(image, r);
    if (r.path.ends_with(image.layers[0].digest) && stalls-- > 0) response.stall_after = 100000;
    return response;
  });
  TestStore store;
  const auto first = std::make_shared<std::optional<Result<storage::Image>>>();
  const auto second = std::make_shared<std::optional<Result<storage::Image>>>();
  Scope one(store.io);
  Scope two(store.io);
  one.start("pull", pull_into(store, server.host() + "/x:1", first));
  run_until(store.io, [&] { return server.count(image.layers[0].digest) == 1; });
  two.start("pull", pull_into(store, server.host() + "/x:2", second));
  run_until(store.io, [&] { return store.said("2: Pulling from") == 1; });
  for (int i = 0; i < 20; ++i) store.io.run_one_for(std::chrono::milliseconds(10));
  EXPECT_EQ(server.count(image.layers[0].digest), 1);
  run(store.io, one.close());
  run_until(store.io, [&] { return second->has_value(); });
  EXPECT_FALSE(**first);
  ASSERT_TRUE(**second) << (**second).error().message;
  EXPECT_EQ(server.count(image.layers[0].digest), 2);
}

TEST_F(Pull, TakesALayerThatStandsTwiceInAnImageOnce) {
  const auto layer = make_layer(scratch, "one", noise(50000));
  const auto image = make_image({layer, layer, layer});
  Server server([&](const Request& r) { return serve(image, r); });
  TestStore store;
  const auto pulled = store.pull(server.host() + "/x");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(server.count(layer.digest), 1);
  EXPECT_EQ(pulled->diff_ids.size(), 3U);
}

}  // namespace
}  // namespace coracle::test
