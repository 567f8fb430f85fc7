// What a registry, or a host that it sends us to, may get from us and make us do: the user's
// credentials are the registry's own alone, and headers, redirects, layers are bounded.
#include <gtest/gtest.h>

#include "storage/registry/registry.hpp"
#include "tests/integration/registry_fixture.hpp"

namespace coracle::test {
namespace {

using storage::RegistryAuth;

// ---- Whom credentials are for. Every server here is another origin: another port.

// A host that wants the password: it asks for it, and would give a token for it.
struct Thief {
  Server server{[this](const Request& r) -> Response {
    if (r.path.starts_with("/token")) return {200, {}, R"({"token":"stolen"})"};
    return {
        401,
        {"WWW-Authenticate: Bearer realm=\"http://" + server.host() + "/token\",service=\"reg\"",
         "WWW-Authenticate: Basic realm=\"r\""},
        "{}"};
  }};
  [[nodiscard]] std::string redirect(const std::string& path) const {
    return "Location: http://" + server.host() + path;
  }
  // What it was given of ann's.
  [[nodiscard]] std::string loot() const {
    std::string out;
    for (const auto& r : server.requests()) {
      out += r.header("authorization");
      if (r.path.find("ann") != std::string::npos) out += r.path;
      if (r.path.starts_with("/token")) out += r.path;
      out += r.body;
    }
    return out;
  }
};

RegistryAuth ann(const std::string& server_address = "") {
  RegistryAuth auth;
  auth.username = "ann";
  auth.password = "s3cret";
  auth.server_address = server_address;
  return auth;
}

TEST_F(Pull, GivesNoCredentialsToWhereAManifestOrABlobIsSent) {
  const auto image = make_image({make_layer(scratch, "good", "good")});
  for (const std::string part : {"/manifests/", "/blobs/"}) {
    for (const int status : {301, 302, 303, 307, 308}) {
      Thief thief;
      Server server([&](const Request& r) -> Response {
        if (r.path.find(part) != std::string::npos) return {status, {thief.redirect(r.path)}, ""};
        return serve(image, r);
      });
      TestStore store;
      const auto pulled = store.pull(server.host() + "/team/x", ann());
      ASSERT_FALSE(pulled) << part << status;
      EXPECT_NE(pulled.error().message.find("it gets no credentials"), std::string::npos)
          << pulled.error().message;
      EXPECT_EQ(thief.loot(), "") << part << status;
      EXPECT_GE(thief.server.requests().size(), 1U) << part << status;
    }
  }
}

TEST_F(Pull, GivesNoCredentialsAfterSeveralHops) {
  const auto image = make_image({make_layer(scratch, "good", "good")});
  Thief thief;
  Server second([&](const Request& r) -> Response { return {307, {thief.redirect(r.path)}, ""}; });
  Server first([&](const Request& r) -> Response {
    return {302, {"Location: http://" + second.host() + r.path}, ""};
  });
  Server server([&](const Request& r) -> Response {
    if (r.header("authorization").empty())
      return {401, {"WWW-Authenticate: Basic realm=\"r\""}, "{}"};
    if (r.path.find("/blobs/") != std::string::npos)
      return {307, {"Location: http://" + first.host() + r.path}, ""};
    return serve(image, r);
  });
  TestStore store;
  EXPECT_FALSE(store.pull(server.host() + "/team/x", ann()));
  EXPECT_EQ(thief.loot(), "");
  for (const Server* other : {&first, &second}) {
    EXPECT_GE(other->requests().size(), 1U);
    for (const auto& r : other->requests()) EXPECT_EQ(r.header("authorization"), "");
  }
}

TEST_F(Pull, GivesNoCredentialsToWhereTheBaseIsSent) {
  const auto image = make_image({make_layer(scratch, "good", "good")});
  Thief thief;
  Server server([&](const Request& r) -> Response {
    if (r.path == "/v2/") return {307, {thief.redirect("/v2/")}, ""};
    return serve(image, r);
  });
  {
    TestStore store;
    const auto in = run(store.io, store.registry->login(ann(server.host())));
    ASSERT_FALSE(in);
    EXPECT_EQ(in.error().code, Errc::unauthorized);
    EXPECT_NE(in.error().message.find("another host"), std::string::npos) << in.error().message;
  }
  TestStore store;
  // Nobody who may ask has asked.
  const auto pulled = store.pull(server.host() + "/team/x", ann());
  EXPECT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(thief.loot(), "");
  EXPECT_GE(thief.server.requests().size(), 2U);
}

TEST_F(Pull, SendsAnIdentityTokenOnceAndNotWhereTheRealmRedirects) {
  const auto image = make_image({make_layer(scratch, "good", "good")});
  for (const int status : {301, 302, 303, 307, 308}) {
    Thief thief;
    std::string realm;
    Server server([&](const Request& r) -> Response {
      if (r.path.starts_with("/token")) return {status, {thief.redirect("/token")}, ""};
      return {401, {"WWW-Authenticate: Bearer realm=\"" + realm + "\",service=\"reg\""}, "{}"};
    });
    realm = "http://" + server.host() + "/token";
    auto auth = ann(server.host());
    auth.identity_token = "long-lived";
    TestStore store;
    EXPECT_FALSE(store.pull(server.host() + "/team/x", auth)) << status;
    EXPECT_FALSE(run(store.io, store.registry->login(auth))) << status;
    EXPECT_GE(server.count("/token"), 1) << status;
    EXPECT_EQ(thief.server.requests().size(), 0U) << status;
  }
}

TEST_F(Pull, SendsNoPasswordWhereTheRealmRedirects) {
  Thief thief;
  std::string realm;
  Server server([&](const Request& r) -> Response {
    if (r.path.starts_with("/token")) return {307, {thief.redirect("/else")}, ""};
    return {401, {"WWW-Authenticate: Bearer realm=\"" + realm + "\",service=\"reg\""}, "{}"};
  });
  realm = "http://" + server.host() + "/token";
  TestStore store;
  EXPECT_FALSE(store.pull(server.host() + "/team/x", ann()));
  ASSERT_GE(thief.server.requests().size(), 1U);
  for (const auto& r : thief.server.requests()) EXPECT_EQ(r.header("authorization"), "");
}

TEST_F(Pull, GetsNoTokenByHttpForARegistryThatIsVerified) {
  for (const std::string scheme : {"http://", "HTTP://", "hTTp://"}) {
    Thief thief;
    asio::io_context io;
    storage::Transfer transfer(io);
    storage::RegistryAuthenticator authenticator(transfer);
    const auto challenges = storage::parse_challenges(
        "Bearer realm=\"" + scheme + thief.server.host() + "/token\",service=\"reg\"");
    for (const std::string scope : {"", "repository:team/x:pull"}) {  // a login, a pull
      const auto got = run(io, authenticator.authorization(challenges, ann(), scope, true));
      ASSERT_FALSE(got) << scheme;
      EXPECT_EQ(got.error().code, Errc::forbidden);
    }
    EXPECT_EQ(thief.server.requests().size(), 0U) << scheme;
    // An insecure registry may.
    const auto got = run(io, authenticator.authorization(challenges, ann(), "", false));
    EXPECT_TRUE(got) << got.error().message;
  }
}

// ---- What a registry can make us hold or do

// Newer libcurls, and Debian's, have a lower limit of their own.
TEST_F(Pull, EndsWhenTheHeadersAreEndless) {
  const auto image = make_image({make_layer(scratch, "good", "good")});
  std::vector<std::string> endless;
  for (int i = 0; i < 200; ++i)
    endless.push_back("X-" + std::to_string(i) + ": " + std::string(10000, 'x'));
  for (const std::string part : {"/v2/", "/manifests/", "/blobs/"}) {
    Server server([&](const Request& r) {
      auto response = serve(image, r);
      const bool here = part == "/v2/" ? r.path == part : r.path.find(part) != std::string::npos;
      if (here) response.headers = endless;
      return response;
    });
    TestStore store;
    const auto pulled = store.pull(server.host() + "/x");
    ASSERT_FALSE(pulled) << part;
    EXPECT_NE(pulled.error().message.find("headers"), std::string::npos) << pulled.error().message;
  }
}

TEST_F(Pull, EndsWhenRedirectsDoNotEnd) {
  Server server([](const Request& r) -> Response { return {302, {"Location: " + r.path}, ""}; });
  TestStore store;
  EXPECT_FALSE(store.pull(server.host() + "/x"));
  EXPECT_LT(server.requests().size(), 50U);
}

TEST_F(Pull, RefusesAManifestOfMoreLayersThanCanBeMounted) {
  const auto layer = make_layer(scratch, "one", "1");
  const auto image = make_image(std::vector<TestLayer>(126, layer));
  Server server([&](const Request& r) { return serve(image, r); });
  TestStore store;
  const auto pulled = store.pull(server.host() + "/x");
  ASSERT_FALSE(pulled);
  EXPECT_NE(pulled.error().message.find("max depth exceeded"), std::string::npos);
}

TEST_F(Pull, EndsWhenALayerIsLongerThanItsManifestSays) {
  auto image = make_image({make_layer(scratch, "big", noise(3000000))});
  const auto size = image.manifest.rfind("\"size\":") + 7;
  image.manifest.replace(size, image.manifest.find(',', size) - size, "0");
  Server server([&](const Request& r) { return serve(image, r); });
  TestStore store;
  const auto pulled = store.pull(server.host() + "/x");
  ASSERT_FALSE(pulled);
  EXPECT_NE(pulled.error().message.find("longer than the 0 bytes"), std::string::npos)
      << pulled.error().message;
  EXPECT_EQ(store.leftovers(), "");
}

}  // namespace
}  // namespace coracle::test
