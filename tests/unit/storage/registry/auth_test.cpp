#include "storage/registry/auth.hpp"

#include <gtest/gtest.h>

#include "storage/registry/client.hpp"

namespace coracle::storage {
namespace {

TEST(ParseChallenges, ReadsSeveralWithQuotedValues) {
  const auto all = parse_challenges(
      R"(Bearer realm="https://a.example/token?x=1,2",service="r \"q\"",scope="repository:a:pull,push", basic realm="Registry")");
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].scheme, "bearer");
  EXPECT_EQ(all[0].params.at("realm"), "https://a.example/token?x=1,2");
  EXPECT_EQ(all[0].params.at("service"), "r \"q\"");
  EXPECT_EQ(all[0].params.at("scope"), "repository:a:pull,push");
  EXPECT_EQ(all[1].scheme, "basic");
  EXPECT_EQ(all[1].params.at("realm"), "Registry");
}

TEST(ParseChallenges, EndsOnGarbage) {
  for (const char* text : {"", "=", "\"", "Bearer realm=\"open", "a=b", "Bearer ,,, =x", "\x01"}) {
    const auto all = parse_challenges(text);
    EXPECT_LE(all.size(), 1U) << text;
  }
}

std::string list(const std::vector<Endpoint>& endpoints) {
  std::string out;
  for (const auto& e : endpoints)
    out += e.base + (e.verify_tls ? " verified" : " any") + (e.mirror ? " mirror\n" : "\n");
  return out;
}

TEST(EndpointsFor, TriesHttpOnlyWithLoopbackAndInsecureRegistries) {
  RegistryConfig config;
  config.insecure = {"build.lan:5000", "10.1.0.0/16"};
  EXPECT_EQ(list(endpoints_for("ghcr.io", config)), "https://ghcr.io verified\n");
  EXPECT_EQ(list(endpoints_for("127.0.0.1:5000", config)),
            "https://127.0.0.1:5000 any\nhttp://127.0.0.1:5000 any\n");
  EXPECT_EQ(endpoints_for("localhost:5000", config).size(), 2U);
  EXPECT_EQ(endpoints_for("[::1]:5000", config).size(), 2U);
  EXPECT_EQ(endpoints_for("build.lan:5000", config).size(), 2U);
  EXPECT_EQ(endpoints_for("build.lan:5001", config).size(), 1U);
  EXPECT_EQ(endpoints_for("10.1.200.3:5000", config).size(), 2U);
  EXPECT_EQ(endpoints_for("10.2.0.1:5000", config).size(), 1U);
  EXPECT_EQ(endpoints_for("127.example.com", config).size(), 1U);
}

TEST(EndpointsFor, PutsMirrorsBeforeTheDefaultRegistryAlone) {
  RegistryConfig config;
  config.mirrors = {"http://127.0.0.1:5000/", "https://mirror.lan"};
  EXPECT_EQ(list(endpoints_for("docker.io", config)),
            "http://127.0.0.1:5000 any mirror\nhttps://mirror.lan verified mirror\n"
            "https://registry-1.docker.io verified\n");
  EXPECT_EQ(endpoints_for("quay.io", config).size(), 1U);
}

HttpResponse answer(int status, std::string body, const std::string& challenge = "") {
  HttpResponse r;
  r.status = status;
  r.body = std::move(body);
  if (!challenge.empty()) r.headers["www-authenticate"] = challenge;
  return r;
}

TEST(PullError, SpeaksDockersWords) {
  Reference ref;
  ref.domain = "docker.io";
  ref.path = "library/nosuch";
  ref.tag = "9";
  auto e = pull_error(
      answer(404, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"), ref,
      false);
  EXPECT_EQ(e.code, Errc::not_found);
  EXPECT_EQ(e.message, "manifest for nosuch:9 not found: manifest unknown: manifest unknown");

  e = pull_error(answer(401, R"({"errors":[{"code":"UNAUTHORIZED","message":"x"}]})",
                        R"(Bearer realm="r",error="insufficient_scope")"),
                 ref, false);
  EXPECT_EQ(e.code, Errc::not_found);
  EXPECT_EQ(e.message,
            "pull access denied for nosuch, repository does not exist or may require 'docker "
            "login': denied: requested access to the resource is denied");

  e = pull_error(
      answer(401, R"({"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]})"),
      ref, true);
  EXPECT_EQ(e.code, Errc::unauthorized);
  EXPECT_EQ(e.message, "unauthorized: authentication required");

  e = pull_error(answer(429, R"({"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]})"),
                 ref, true);
  EXPECT_EQ(e.message, "toomanyrequests: slow down");
  e = pull_error(
      answer(404, R"({"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]})"),
      ref, true);
  EXPECT_EQ(e.message, "blob unknown: blob unknown to registry");
  e = pull_error(answer(500, "<html>"), ref, true);
  EXPECT_EQ(e.code, Errc::internal);
}

}  // namespace
}  // namespace coracle::storage
