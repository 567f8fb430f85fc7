// `docker load`: an archive of images into an empty store. What unpacking does with a layer is
// archive_targets' part; here it is what names what.
#include <memory>

#include "engine/base/async/async.hpp"
#include "engine/base/file.hpp"
#include "storage/archive/unpack.hpp"
#include "storage/content/byte_source.hpp"
#include "storage/images/load.hpp"
#include "storage/images/store.hpp"
#include "storage/unpacker/client.hpp"
#include "tests/fuzz/playground.hpp"
#include "tests/fuzz/tar_mutate.hpp"
#include "tests/fuzz/target.hpp"
#include "tests/fuzz/view_source.hpp"

// In place of storage/unpacker/client, which starts a process for each layer: the same work, here,
// where it is seen, and a hundred times faster.
namespace coracle::storage {

Result<std::unique_ptr<ByteSource>> inflated_apart(ByteSource& from, Compression compression) {
  return inflated(from, compression);
}

Result<Unpacked> unpack_apart(ByteSource& tar, const UniqueFd& root, const UnpackOptions& options) {
  TRY(const auto done, unpack(tar, root, options));
  CHECK(drain(tar));
  return done;
}

}  // namespace coracle::storage

namespace coracle::fuzz {
namespace {

using namespace storage;

class Store {
 public:
  void run(std::string_view input) {
    (void)ground_.fresh_root();
    const std::string root = ground_.path() + "/nest/root";
    Trash trash(io_, workers_, root + "/trash");
    Pins pins;
    BlobStore blobs(root, trash);
    LayerStore layers(root, true, blobs, trash, pins);
    ImageStore images(root, blobs, layers, trash);
    std::vector<Damaged> damaged;
    MUST(blobs.prepare() && layers.open(damaged) && images.open(damaged));
    ViewSource source(input);
    const StopFlag stop = false;
    const auto loaded =
        load_images(source, {blobs, layers, images}, stop, [](const std::string&) {});
    if (loaded) {
      for (const auto& image : *loaded) MUST(image.size >= 0);
    }
    // What is there now is whole: another start finds no damage.
    LayerStore layers_again(root, true, blobs, trash, pins);
    ImageStore images_again(root, blobs, layers_again, trash);
    MUST(layers_again.open(damaged) && images_again.open(damaged));
    MUST(damaged.empty());
    ground_.check_outside();
  }

 private:
  Playground ground_{"load"};
  asio::io_context io_;
  Workers workers_{io_, 1};
};

}  // namespace

std::vector<Target> load_targets() {
  Target load;
  load.name = "load";
  load.dictionary = tar_dictionary();
  for (const auto* word :
       {"manifest.json", "index.json", "oci-layout", "repositories", "blobs/sha256/", "\"Config\"",
        "\"RepoTags\"", "\"Layers\"", "\"manifests\"", "\"digest\"", "\"diff_ids\"",
        "sha256:", "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\"],\"Layers\":[\"l.tar\"]}]",
        "c.json", "l.tar"})
    load.dictionary.emplace_back(word);
  load.mutate = mutate_tar;
  load.mend = mend_tar;
  load.largest = 32768;
  load.inputs = 2'000;
  load.run = [store = std::shared_ptr<Store>()](std::string_view input) mutable {
    if (!store) store = std::make_shared<Store>();
    store->run(input);
  };
  return {load};
}

}  // namespace coracle::fuzz
