// storage: tar and compression, as images and clients of `docker cp` bring them.
#include <memory>

#include "storage/archive/tar_reader.hpp"
#include "storage/archive/unpack.hpp"
#include "storage/content/byte_source.hpp"
#include "tests/fuzz/playground.hpp"
#include "tests/fuzz/tar_mutate.hpp"
#include "tests/fuzz/target.hpp"
#include "tests/fuzz/view_source.hpp"

namespace coracle::fuzz {
namespace {

using namespace storage;

constexpr std::size_t kEnough = std::size_t{8} << 20;  // of what a few bytes are inflated to

// Every entry with its data, once block by block and once as a source.
void archive(std::string_view input) {
  for (const bool blocks : {true, false}) {
    ViewSource source(input);
    TarReader reader(source);
    std::size_t entries = 0;
    for (; entries < 10'000; ++entries) {
      const auto entry = reader.next();
      if (!entry || *entry == nullptr) break;
      MUST((*entry)->size >= 0);
      for (const auto& x : (*entry)->xattrs) (void)is_kept_xattr(x.name);
      if (blocks) {
        std::size_t seen = 0;
        (void)reader.data([&](std::string_view bytes, std::int64_t offset) -> Result<> {
          MUST(offset >= 0);
          seen += bytes.size();
          return {};
        });
        MUST(seen <= input.size() + 512);
        continue;
      }
      char piece[4096];
      for (std::size_t seen = 0; seen < kEnough;) {
        const auto n = reader.data_source().read(piece);
        if (!n || *n == 0) break;
        seen += *n;
      }
    }
    MUST(entries < 10'000);
  }
}

void unpack_into(const std::shared_ptr<Playground>& ground, std::string_view input,
                 const UnpackOptions& options) {
  ViewSource source(input);
  const auto& root = ground->fresh_root();
  const auto done = storage::unpack(source, root, options);
  if (done) MUST(done->bytes >= 0 && done->entries >= 0);
  ground->check_outside();
}

void inflate(std::string_view input) {
  ViewSource source(input);
  std::string head(std::min<std::size_t>(input.size(), 16), '\0');
  (void)read_full(source, head);
  const auto whole = joined(head, source);
  const auto plain = inflated(*whole, compression_of(head));
  if (!plain) return;
  std::string piece(std::size_t{64} << 10, '\0');
  for (std::size_t seen = 0; seen < kEnough;) {
    const auto n = (*plain)->read(piece);
    if (!n || *n == 0) return;
    seen += *n;
  }
}

}  // namespace

std::vector<Target> archive_targets() {
  Target tar;
  tar.dictionary = tar_dictionary();
  tar.largest = 16384;
  tar.mutate = mutate_tar;
  tar.mend = mend_tar;
  Target layer = tar, copy = tar;
  tar.name = "archive";
  tar.run = archive;
  tar.inputs = 15'000;
  // The folder is made when the first input comes: a list of targets makes none.
  layer.name = "unpack";
  layer.inputs = 6'000;
  layer.run = [ground = std::shared_ptr<Playground>()](std::string_view input) mutable {
    if (!ground) ground = std::make_shared<Playground>("unpack");
    unpack_into(ground, input, {.one_id = true});
  };
  copy.name = "copy_in";
  copy.inputs = 6'000;
  copy.run = [ground = std::shared_ptr<Playground>()](std::string_view input) mutable {
    if (!ground) ground = std::make_shared<Playground>("copy_in");
    const bool keep = input.size() % 2 == 0;
    unpack_into(ground, input, {.one_id = true, .layer = false, .keep_kinds = keep});
  };
  Target zip;
  zip.name = "inflate";
  zip.run = inflate;
  zip.dictionary = {"\x1f\x8b\x08",
                    "\x28\xb5\x2f\xfd",
                    "\x50\x2a\x4d\x18",
                    "BZh9",
                    "\xfd"
                    "7zXZ",
                    "\x04\x22\x4d\x18"};
  zip.largest = 2048;
  zip.inputs = 10'000;
  return {tar, layer, copy, zip};
}

}  // namespace coracle::fuzz
