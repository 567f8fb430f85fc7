// storage: what registries and archives say about an image, and the names of images.
#include <algorithm>

#include "engine/base/json.hpp"
#include "storage/images/config_change.hpp"
#include "storage/images/manifest.hpp"
#include "storage/images/reference.hpp"
#include "storage/registry/auth.hpp"
#include "storage/registry/client.hpp"
#include "storage/registry/signature.hpp"
#include "storage/volumes/options.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

using namespace storage;

void manifest(std::string_view input) {
  const auto parsed = parse_manifest(input, "");
  (void)parse_manifest(input, media::kOciIndex);
  if (!parsed) return;
  if (const auto* index = std::get_if<Index>(&*parsed)) {
    (void)choose(*index, resolve_platform({}));
    for (const auto& d : index->manifests)
      if (d.platform) (void)choose(*index, resolve_platform(*d.platform));
    return;
  }
  const auto& m = std::get<Manifest>(*parsed);
  MUST(parse_manifest(json::to_text(m), m.media_type).has_value());
}

void image_config(std::string_view input) {
  const auto config = parse_config(input);
  if (!config) return;
  const auto again = parse_config(write_config(*config));
  MUST(again.has_value());
  MUST(json::to_text(*again) == json::to_text(*config));
}

void challenge(std::string_view input) {
  for (const auto& c : parse_challenges(input)) {
    MUST(!c.scheme.empty());
    for (const auto& [name, value] : c.params) MUST(value.size() <= input.size());
  }
  // The other headers that say where to go.
  HttpResponse answer;
  answer.headers["link"] = std::string(input);
  const auto next = next_page(answer);
  MUST(input.find(next) != std::string_view::npos);
  const auto whole = resolve_url("https://registry.example/v2/x", next);
  MUST(whole.empty() || !origin_of(whole).empty() || next.find(':') != std::string::npos);
}

// A manifest of signatures, or what one of them signs.
void signature(std::string_view input) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  if (const auto list = parse_signatures(input)) {
    for (const auto& one : *list) MUST(one.signature.size() <= input.size());
  }
  const std::string repository = "docker.io/library/a";
  if (!check_statement(input, repository, digest)) return;
  MUST(!check_statement(input, repository, "sha256:" + std::string(64, 'b')));
  MUST(!check_statement(input, "docker.io/library/b", digest));
}

void reference(std::string_view input) {
  const std::string text(input);
  const auto name = parse_reference(text, false);
  if (!name) return;
  // Names become keys, parts of URLs and of log lines.
  for (const auto& part : {name->domain, name->path, name->tag, name->digest})
    MUST(std::ranges::none_of(part, [](unsigned char c) { return c <= ' ' || c >= 0x7f; }));
  MUST(!name->domain.empty() && !name->path.empty());
  MUST(("/" + name->path + "/").find("/../") == std::string::npos);
  const auto latest = parse_reference(text, true);
  MUST(latest.has_value());
  const auto again = from_canonical(canonical(*latest));
  MUST(again.has_value() && canonical(*again) == canonical(*latest));
  // What is shown may read as another one, or as none: docker.io/x.y/a is x.y/a, by Docker, too.
  // Keys are canonical.
  (void)parse_reference(latest->familiar(), true);
}

// A line a change.
void config_change(std::string_view input) {
  std::vector<std::string> changes;
  while (!input.empty() && changes.size() < 16) {
    const auto end = std::min(input.find('\n'), input.size());
    changes.emplace_back(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  ImageConfig config;
  if (!apply_changes(config, changes)) return;
  MUST(json::from_text<ImageConfig>(json::to_text(config)).has_value());
}

void volume_options(std::string_view input) {
  const auto options = json::from_text<std::map<std::string, std::string>>(input);
  if (!options) return;
  if (const auto mount = read_volume_options("v", *options)) (void)mount_flags(mount->flags);
}

}  // namespace

std::vector<Target> image_targets() {
  const std::string digest = "sha256:" + std::string(64, 'a');
  const std::vector<std::string> words{"schemaVersion",
                                       "mediaType",
                                       "config",
                                       "layers",
                                       "manifests",
                                       "digest",
                                       "size",
                                       "platform",
                                       "architecture",
                                       "os",
                                       "variant",
                                       "annotations",
                                       "urls",
                                       "fsLayers",
                                       "artifactType",
                                       media::kOciManifest,
                                       media::kOciIndex,
                                       media::kDockerManifest,
                                       media::kDockerList,
                                       media::kOciLayerGzip,
                                       media::kOciLayerZstd,
                                       digest,
                                       "amd64",
                                       "arm64",
                                       "arm",
                                       "v8",
                                       "v7",
                                       "linux",
                                       "unknown",
                                       "sha512:"};
  const std::vector<std::string> signature_words{"critical",
                                                 "identity",
                                                 "docker-reference",
                                                 "image",
                                                 "docker-manifest-digest",
                                                 "type",
                                                 "layers",
                                                 "mediaType",
                                                 "digest",
                                                 "size",
                                                 "annotations",
                                                 "dev.cosignproject.cosign/signature",
                                                 "application/vnd.dev.cosign.simplesigning.v1+json",
                                                 "cosign container image signature",
                                                 "docker.io/library/a",
                                                 "a:1",
                                                 digest,
                                                 "TUVVQ0lRRA=="};
  const std::vector<std::string> config_words{"created",
                                              "author",
                                              "config",
                                              "rootfs",
                                              "history",
                                              "diff_ids",
                                              "type",
                                              "User",
                                              "Env",
                                              "Cmd",
                                              "Entrypoint",
                                              "ExposedPorts",
                                              "Volumes",
                                              "WorkingDir",
                                              "Labels",
                                              "StopSignal",
                                              "Healthcheck",
                                              "Test",
                                              "Interval",
                                              "Timeout",
                                              "Retries",
                                              "StartPeriod",
                                              "Shell",
                                              "OnBuild",
                                              "empty_layer",
                                              "2024-01-01T00:00:00.123Z",
                                              "0001-01-01T00:00:00Z",
                                              "CMD-SHELL",
                                              "80/tcp",
                                              digest};
  const std::vector<std::string> option_words{
      "type",      "o",  "device", "tmpfs", "none", "bind",      "nfs",    "size=1m", "uid=0",
      "mode=0777", "ro", "nosuid", ",",     "/tmp", "size=100%", "noexec", "rbind"};
  return {
      {.name = "manifest",
       .run = manifest,
       .dictionary = words,
       .mutate = json_mutator(words),
       .inputs = 40'000},
      {.name = "image_config",
       .run = image_config,
       .dictionary = config_words,
       .mutate = json_mutator(config_words),
       .inputs = 20'000},
      {.name = "challenge",
       .run = challenge,
       .dictionary = {"Bearer ", "Basic ", "realm=", "service=", "scope=", "error=", "\"", "\\\"",
                      ", ", "=", "==", "repository:a:pull", "Negotiate", "https://a/b"},
       .largest = 1024,
       .inputs = 70'000},
      {.name = "signature",
       .run = signature,
       .dictionary = signature_words,
       .mutate = json_mutator(signature_words),
       .inputs = 40'000},
      {.name = "reference",
       .run = reference,
       .dictionary = {"docker.io/", "library/", "localhost", ":5000", "@" + digest, ":latest", "..",
                      "__", "--", "_", "index.docker.io/", "[::1]", std::string(64, 'a'), "/",
                      "@sha512:", "A"},
       .largest = 512,
       .inputs = 90'000},
      {.name = "config_change",
       .run = config_change,
       .dictionary = {"CMD ",     "ENTRYPOINT ",   "ENV ",        "EXPOSE ",     "HEALTHCHECK ",
                      "LABEL ",   "ONBUILD ",      "STOPSIGNAL ", "USER ",       "VOLUME ",
                      "WORKDIR ", "[\"a\",\"b\"]", "NONE",        "--interval=", "--retries=",
                      "1h",       "a=b",           "\"",          "\\",          "$a",
                      "${a}",     "${a:-b}",       "80/udp",      "1-70000",     "\n"},
       .largest = 1024,
       .inputs = 40'000},
      {.name = "volume_options",
       .run = volume_options,
       .dictionary = option_words,
       .mutate = json_mutator(option_words),
       .largest = 1024,
       .inputs = 40'000},
  };
}

}  // namespace coracle::fuzz
