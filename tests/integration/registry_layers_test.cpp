// Layers that lie elsewhere, and those whose blob was lost.
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/integration/registry_fixture.hpp"

namespace coracle::test {
namespace {

void replace(std::string& text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

TEST_F(Pull, TakesAForeignLayerFromWhereItsManifestSays) {
  auto image = make_image({make_layer(scratch, "far", noise(300000))});
  const auto blob = image.layers[0].blob;
  const auto digest = image.layers[0].digest;
  int asked = 0;
  Server elsewhere([&](const Request& r) -> Response {
    EXPECT_EQ(r.header("authorization"), "");
    if (r.path != "/layer") return {404, {}, "gone"};
    const auto range = r.header("range");
    Response response{200, {}, blob};
    if (!range.empty()) response = {206, {}, blob.substr(std::stoul(range.substr(6)))};
    if (++asked == 1) response.cut_after = 100000;
    return response;
  });
  const auto named = [&](const std::string& url) {
    auto with = image;
    replace(with.manifest, "docker.image.rootfs.diff.tar.gzip",
            "docker.image.rootfs.foreign.diff.tar.gzip");
    replace(with.manifest, digest + "\"", digest + R"(","urls":[")" + url + "\"]");
    with.manifest_digest = storage::sha256_of(with.manifest);
    with.layers.clear();  // the registry has none
    return with;
  };
  auto there =
      named("http://" + elsewhere.host() + R"(/none","http://)" + elsewhere.host() + "/layer");
  Server server([&](const Request& r) { return serve(there, r); });
  TestStore store;
  const auto pulled = store.pull(server.host() + "/x");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(asked, 2);  // resumed where it was cut

  there = named("file:///etc/passwd");
  TestStore second;
  const auto refused = second.pull(server.host() + "/x");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("file:///etc/passwd"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(second.leftovers(), "");
}

TEST_F(Pull, BringsABlobThatWasLost) {
  const auto image = make_image(
      {make_layer(scratch, "one", noise(50000)), make_layer(scratch, "two", noise(50000))});
  Server server([&](const Request& r) { return serve(image, r); });
  TestStore store;
  ASSERT_TRUE(store.pull(server.host() + "/x"));
  const auto lost = store.blobs.path(image.layers[0].digest);
  ASSERT_EQ(::unlink(lost.c_str()), 0);
  const auto again = store.pull(server.host() + "/x");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(get(lost), image.layers[0].blob);
  EXPECT_EQ(server.count(image.layers[0].digest), 2);
  EXPECT_EQ(server.count(image.layers[1].digest), 1);
  EXPECT_EQ(names(store.scratch / "s/tmp"), "");
}

}  // namespace
}  // namespace coracle::test
