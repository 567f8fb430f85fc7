// A small image for the registry tests, made with tar and gzip, and a store to pull it into.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "storage/content/blob_store.hpp"
#include "storage/content/digest.hpp"
#include "storage/images/store.hpp"
#include "storage/registry/registry.hpp"
#include "storage/snapshots/layer_store.hpp"
#include "tests/unit/storage/scratch.hpp"

namespace coracle::test {

struct TestLayer {
  std::string blob, digest, diff_id;
};
struct TestImage {
  std::vector<TestLayer> layers;
  std::string config, config_digest;
  std::string manifest, manifest_digest;
};

// One file, `name`, with `text`.
inline TestLayer make_layer(const Scratch& scratch, const std::string& name,
                            const std::string& text) {
  const std::string dir = scratch / ("make-" + name);
  mkdirs(dir);
  put(dir + "/" + name, text);
  const std::string command = "cd " + dir + " && tar --sort=name --owner=0 --group=0 -cf ../" +
                              name + ".tar . && gzip -nkf ../" + name + ".tar";
  EXPECT_EQ(std::system(command.c_str()), 0);
  TestLayer layer;
  layer.blob = get(scratch / (name + ".tar.gz"));
  layer.digest = storage::sha256_of(layer.blob);
  layer.diff_id = storage::sha256_of(get(scratch / (name + ".tar")));
  return layer;
}

inline TestImage make_image(std::vector<TestLayer> layers, const std::string& label = "x") {
  TestImage image;
  std::string diffs;
  std::string blobs;
  for (const auto& l : layers) {
    diffs += (diffs.empty() ? "\"" : ",\"") + l.diff_id + "\"";
    blobs += std::string(blobs.empty() ? "" : ",") +
             R"({"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":)" +
             std::to_string(l.blob.size()) + R"(,"digest":")" + l.digest + "\"}";
  }
  image.config =
      R"({"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/sh"],"Labels":{"l":")" +
      label + R"("}},"rootfs":{"type":"layers","diff_ids":[)" + diffs + "]}}";
  image.config_digest = storage::sha256_of(image.config);
  image.manifest =
      R"({"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",)"
      R"("config":{"mediaType":"application/vnd.docker.container.image.v1+json","size":)" +
      std::to_string(image.config.size()) + R"(,"digest":")" + image.config_digest +
      R"("},"layers":[)" + blobs + "]}";
  image.manifest_digest = storage::sha256_of(image.manifest);
  image.layers = std::move(layers);
  return image;
}

// A store with a registry client.
struct TestStore {
  explicit TestStore(storage::RegistryConfig config = {}) {
    config.retry_ms = 10;
    registry.emplace(io, workers, std::move(config), blobs, layers, images, nullptr);
    std::vector<storage::Damaged> damaged;
    EXPECT_TRUE(blobs.prepare());
    EXPECT_TRUE(layers.open(damaged));
    EXPECT_TRUE(images.open(damaged));
    EXPECT_TRUE(damaged.empty());
  }
  TestStore(const TestStore&) = delete;
  TestStore& operator=(const TestStore&) = delete;
  ~TestStore() { run(io, trash.close()); }

  storage::ProgressSink sink() {
    return [this](const storage::Progress& p) {
      lines.push_back((p.id.empty() ? "" : p.id + ": ") + p.status);
    };
  }
  Result<storage::Image> pull(const std::string& name, const storage::RegistryAuth& auth = {},
                              const storage::Platform& platform = {"linux", "amd64", ""}) {
    const auto ref = storage::parse_reference(name, true);
    if (!ref) return std::unexpected(ref.error());
    lines.clear();
    return run(io, registry->pull(*ref, auth, platform, sink()));
  }
  // How many lines hold this text?
  [[nodiscard]] long said(const std::string& text) const {
    return std::ranges::count_if(
        lines, [&text](const std::string& line) { return line.find(text) != std::string::npos; });
  }
  // What a pull that failed must not leave.
  [[nodiscard]] std::string leftovers() const {
    return names(scratch / "s/tmp") + names(scratch / "s/layers") +
           names(scratch / "s/blobs/sha256");
  }

  Scratch scratch;
  asio::io_context io;
  Workers workers{io, 2};
  storage::Trash trash{io, workers, scratch / "s/trash"};
  storage::Pins pins;
  storage::BlobStore blobs{scratch / "s", trash};
  storage::LayerStore layers{scratch / "s", false, blobs, trash, pins};
  storage::ImageStore images{scratch / "s", blobs, layers, trash};
  std::optional<storage::Registry> registry;
  std::vector<std::string> lines;
};

}  // namespace coracle::test
