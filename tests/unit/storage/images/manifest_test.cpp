#include "storage/images/manifest.hpp"

#include <gtest/gtest.h>

#include "engine/base/json.hpp"
#include "storage/content/digest.hpp"

namespace coracle::storage {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string manifest_text(const std::string& config_type) {
  return R"({"schemaVersion":2,"config":{"mediaType":")" + config_type + R"(","digest":")" +
         kDigest + R"(","size":2},"layers":[{"mediaType":"x","digest":")" + kDigest +
         R"(","size":1}]})";
}

std::string reason(const std::string& text) {
  const auto r = parse_manifest(text);
  return r ? "" : r.error().message;
}

TEST(Manifest, OciAndDockerAreBothRead) {
  for (const char* type : {media::kOciConfig, media::kDockerConfig}) {
    const auto parsed = parse_manifest(manifest_text(type), media::kDockerManifest);
    ASSERT_TRUE(parsed) << parsed.error().message;
    const auto& m = std::get<Manifest>(*parsed);
    EXPECT_EQ(kDigest, m.config.digest);
    EXPECT_EQ(media::kDockerManifest, m.media_type);
    EXPECT_EQ(1U, m.layers.size());
  }
}

TEST(Manifest, RefusesWhatIsNone) {
  EXPECT_NE("", reason("[]"));
  EXPECT_NE("", reason("{}"));
  EXPECT_NE("", reason(R"({"schemaVersion":1,"layers":[]})"));
  EXPECT_NE("", reason(R"({"schemaVersion":2,"layers":[],"manifests":[]})"));
  EXPECT_NE("", reason(manifest_text("application/vnd.helm.config")));
  EXPECT_NE("",
            reason(R"({"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1}]})"));
}

Descriptor entry(const std::string& architecture, const std::string& variant) {
  Descriptor d;
  d.digest = architecture + variant;
  d.platform = Platform{"linux", architecture, variant};
  return d;
}

TEST(Manifest, ChoosesTheBestThatRunsHere) {
  Index index;
  index.manifests = {entry("arm", "v5"), entry("arm", "v6"),   entry("arm64", "v8"),
                     entry("amd64", ""), entry("amd64", "v3"), entry("unknown", "")};
  const auto chosen = [&](Platform p) {
    const auto d = choose(index, resolve_platform(p));
    return d ? d->digest : d.error().message;
  };
  EXPECT_EQ("amd64", chosen({"linux", "x86_64", ""}));
  EXPECT_EQ("amd64v3", chosen({"linux", "amd64", "v3"}));
  EXPECT_EQ("arm64v8", chosen({"linux", "arm64", ""}));
  EXPECT_EQ("armv6", chosen({"linux", "arm", "v7"}));
  EXPECT_EQ("no matching manifest for linux/s390x in the manifest list entries",
            chosen({"linux", "s390x", ""}));
}

TEST(Manifest, ChainIdsFollowTheSpecification) {
  EXPECT_EQ(std::vector<std::string>({"sha256:a", sha256_of("sha256:a sha256:b")}),
            chain_ids({"sha256:a", "sha256:b"}));
}

TEST(Manifest, OurOwnConfigurationIsReadBack) {
  ConfigFile c;
  c.os = "linux";
  c.config.cmd = {"sh"};
  c.config.exposed_ports["80/tcp"] = {};
  c.rootfs.diff_ids = {kDigest};
  const auto back = parse_config(write_config(c));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(json::to_text(c.config), json::to_text(back->config));
  EXPECT_EQ(c.rootfs.diff_ids, back->rootfs.diff_ids);
  EXPECT_FALSE(parse_config(R"({"rootfs":{"diff_ids":["sha256:../x"]}})"));
}

}  // namespace
}  // namespace coracle::storage
