#include "storage/images/manifest.hpp"

#include <gtest/gtest.h>

#include "engine/base/json.hpp"
#include "storage/content/digest.hpp"
#include "storage/images/config_change.hpp"

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

}  // namespace
}  // namespace coracle::storage
