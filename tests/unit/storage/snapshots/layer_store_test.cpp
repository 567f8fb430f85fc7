#include "storage/snapshots/layer_store.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "storage/images/gc.hpp"
#include "tests/unit/storage/scratch.hpp"
#include "tests/unit/storage/tar.hpp"
#include "tests/unit/storage/text_source.hpp"

namespace coracle::storage {
namespace {

class Layers : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(blobs.prepare());
    std::vector<Damaged> damaged;
    ASSERT_TRUE(layers.open(damaged));
  }
  Result<LayerInfo> ingest(const std::string& bytes, const LayerRequest& request) {
    TextSource source(bytes);
    return layers.ingest(request, source);
  }
  // No file is left that has no name.
  std::string residue() { return names(scratch / "tmp"); }

  Scratch scratch;
  asio::io_context io;
  Workers workers{io, 1};
  Trash trash{io, workers, scratch / "trash"};
  Pins pins;
  BlobStore blobs{scratch.path(), trash};
  LayerStore layers{scratch.path(), true, blobs, trash, pins};
  const std::string tar = Tar().file("f", std::string(300'000, 'x')).done();
};

TEST_F(Layers, AreUnpackedVerifiedAndKeptAsReceived) {
  for (const auto& [bytes, type] :
       {std::pair{tar, media::kOciLayer}, std::pair{gzipped(tar), media::kOciLayerGzip},
        std::pair{zstd_packed(tar), media::kOciLayerZstd}}) {
    LayerRequest request;
    request.blob.digest = sha256_of(bytes);
    request.diff_id = sha256_of(tar);
    request.parent = sha256_of(type);
    std::int64_t unpacked = 0;
    request.unpacked = [&](std::int64_t n) { unpacked = n; };
    const auto info = ingest(bytes, request);
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_EQ(chain_id(request.parent, request.diff_id), info->chain_id);
    EXPECT_EQ(type, info->media_type);
    EXPECT_EQ(300'000, info->size);
    EXPECT_EQ(static_cast<std::int64_t>(bytes.size()), info->blob_size);
    EXPECT_EQ(info->blob_size, unpacked);
    EXPECT_EQ(bytes, *blobs.read(info->blob));
    EXPECT_EQ(300'000U, get(layers.diff_path(info->chain_id) + "/f").size());
    EXPECT_EQ("", residue());
  }
  // Another store finds them.
  LayerStore again(scratch.path(), true, blobs, trash, pins);
  std::vector<Damaged> damaged;
  ASSERT_TRUE(again.open(damaged));
  EXPECT_EQ(3U, again.list().size());
  EXPECT_TRUE(damaged.empty());
}

TEST_F(Layers, WrongDigestsLeaveNothing) {
  LayerRequest request;
  request.blob.digest = sha256_of("other");
  EXPECT_FALSE(ingest(tar, request));
  request.blob.digest = sha256_of(tar);
  request.diff_id = sha256_of("other");
  const auto info = ingest(tar, request);
  ASSERT_FALSE(info);
  EXPECT_EQ(Errc::invalid_argument, info.error().code);
  EXPECT_NE(std::string::npos, info.error().message.find(sha256_of("other")));
  EXPECT_FALSE(ingest(gzipped(tar).substr(0, 200), {}));
  EXPECT_FALSE(ingest("no tar at all, but text that is long enough", {}));
  EXPECT_EQ("", residue());
  EXPECT_TRUE(blobs.list()->empty());
  EXPECT_TRUE(layers.list().empty());
}

TEST_F(Layers, APlacedOneIsUnpackedFromItsBlobWhenAsked) {
  const auto place = [&] {
    auto writer = blobs.begin();
    return writer && writer->write(tar) ? layers.place(*std::move(writer), 300'000, "")
                                        : fail(Errc::internal, "no blob");
  };
  const auto info = place();
  ASSERT_TRUE(info) << info.error().message;
  const auto id = sha256_of(tar);
  EXPECT_EQ(id, info->chain_id);
  EXPECT_EQ(300'000, info->size);
  EXPECT_EQ(tar, *blobs.read(id));
  EXPECT_TRUE(layers.has(id));
  EXPECT_TRUE(layers.is_blob_only(id));
  EXPECT_TRUE(place());  // it is there
  EXPECT_EQ("", residue());

  std::atomic<bool> stop = true;
  EXPECT_FALSE(layers.unpack_blob_only(id, stop));
  EXPECT_TRUE(layers.is_blob_only(id));
  EXPECT_FALSE(exists(layers.diff_path(id)));
  EXPECT_EQ("", residue());

  // The next store goes on with it.
  stop = false;
  LayerStore again(scratch.path(), true, blobs, trash, pins);
  std::vector<Damaged> damaged;
  ASSERT_TRUE(again.open(damaged));
  EXPECT_TRUE(damaged.empty());
  EXPECT_EQ(std::vector{id}, again.blob_only());
  const auto done = again.unpack_blob_only(id, stop);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_FALSE(again.is_blob_only(id));
  EXPECT_EQ(300'000U, get(again.diff_path(id) + "/f").size());
  EXPECT_EQ("", residue());
}

TEST_F(Layers, ALostDirectoryIsMadeAgainFromAGoodBlobOnly) {
  const auto packed = gzipped(tar);
  const auto info = ingest(packed, {});
  ASSERT_TRUE(info);
  const auto diff = layers.diff_path(info->chain_id);
  const std::atomic<bool> stop = false;
  const auto open_again = [&](LayerStore& store) {
    std::vector<Damaged> damaged;
    EXPECT_TRUE(store.open(damaged));
    return damaged.size();
  };
  ASSERT_TRUE(remove_tree(diff));
  LayerStore second(scratch.path(), true, blobs, trash, pins);
  EXPECT_EQ(0U, open_again(second));
  ASSERT_TRUE(second.unpack_blob_only(info->chain_id, stop));
  EXPECT_EQ(300'000U, get(diff + "/f").size());

  ASSERT_TRUE(remove_tree(diff));
  put(blobs.path(info->blob), gzipped(Tar().file("f", "other").done()));
  LayerStore third(scratch.path(), true, blobs, trash, pins);
  EXPECT_EQ(0U, open_again(third));
  EXPECT_FALSE(third.unpack_blob_only(info->chain_id, stop));
  EXPECT_TRUE(third.is_blob_only(info->chain_id));
  EXPECT_FALSE(exists(diff));

  ASSERT_TRUE(remove_tree(blobs.path(info->blob)));
  LayerStore fourth(scratch.path(), true, blobs, trash, pins);
  EXPECT_EQ(1U, open_again(fourth));
}

TEST_F(Layers, ASourceThatFailsCancels) {
  Error gone;
  gone.message = "cancelled";
  TextSource source(gzipped(tar).substr(0, 100), gone);
  const auto info = layers.ingest({}, source);
  ASSERT_FALSE(info);
  EXPECT_NE(std::string::npos, info.error().message.find("cancelled"));
  EXPECT_EQ("", residue());
}

TEST_F(Layers, TwoAtOnceOfTheSameAreHarmless) {
  std::vector<std::jthread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      TextSource source(gzipped(tar));
      LayerRequest request;
      request.diff_id = sha256_of(tar);
      const auto got = layers.ingest(request, source);
      EXPECT_TRUE(got) << got.error().message;
      if (got) ++good;
    });
  }
  threads.clear();
  EXPECT_EQ(4, good.load());
  EXPECT_EQ(1U, layers.list().size());
  EXPECT_EQ("", residue());
  EXPECT_EQ(300'000U, get(layers.diff_path(sha256_of(tar)) + "/f").size());
}

TEST_F(Layers, ADamagedLayerIsLeftOutAndIngestedAgain) {
  ASSERT_TRUE(ingest(tar, {}));
  const auto dir = scratch / ("layers/" + hex_of(sha256_of(tar)));
  put(dir + "/layer.json", "{");
  LayerStore again(scratch.path(), true, blobs, trash, pins);
  std::vector<Damaged> damaged;
  ASSERT_TRUE(again.open(damaged));
  ASSERT_EQ(1U, damaged.size());
  EXPECT_EQ(dir, damaged[0].path);
  EXPECT_FALSE(again.has(sha256_of(tar)));
  TextSource source(tar);
  ASSERT_TRUE(again.ingest({}, source));
  EXPECT_TRUE(again.has(sha256_of(tar)));
}

TEST_F(Layers, XzIsKeptInflated) {
  // An empty tar, two blocks of zeros, in a form that no registry takes.
  const std::string xz(
      "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00"
      "\x00\x00\x74\x2f\xe5\xa3\xe0\x03\xff\x00\x0b\x5d\x00\x00\x6f\xfd\xff\xff"
      "\xa3\xb7\x7f\x46\x32\x00\x00\x00\x0c\x27\x69\x20\x97\x63\x78\xc3\x00\x01"
      "\x27\x80\x08\x00\x00\x00\x2e\x79\xae\xad\xb1\xc4\x67\xfb\x02\x00\x00\x00"
      "\x00\x04\x59\x5a",
      76);
  const auto info = ingest(xz, {});
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(sha256_of(std::string(1024, '\0')), info->blob);
  EXPECT_EQ(media::kOciLayer, info->media_type);
}

TEST_F(Layers, SweepingTakesWhatNothingReachesAndIsNotPinned) {
  ASSERT_TRUE(ingest(tar, {}));
  const std::string other = Tar().file("g", "1").done();
  ASSERT_TRUE(ingest(other, {}));
  const auto loose = blobs.put("loose");
  ASSERT_TRUE(loose);
  const auto garbage = [&](const std::set<std::string>& roots) {
    return unreachable(roots, layers.list(), *blobs.list());
  };
  auto pin = pins.take({sha256_of(other)});
  pins.begin_sweep();
  pin.drop();  // what was pinned during a sweep is safe until the next
  auto swept = sweep(garbage({sha256_of(tar)}), layers, blobs, pins);
  ASSERT_TRUE(swept) << swept.error().message;
  EXPECT_TRUE(swept->layers.empty());
  EXPECT_EQ(std::vector<std::string>{*loose}, swept->blobs);
  pins.begin_sweep();
  swept = sweep(garbage({sha256_of(tar)}), layers, blobs, pins);
  ASSERT_TRUE(swept);
  EXPECT_EQ(std::vector<std::string>{sha256_of(other)}, swept->layers);
  EXPECT_TRUE(layers.has(sha256_of(tar)));
  EXPECT_FALSE(layers.has(sha256_of(other)));
  EXPECT_FALSE(exists(layers.diff_path(sha256_of(other))));
}

}  // namespace
}  // namespace coracle::storage
