#include "storage/layer_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>

#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "storage/chunk_ring.hpp"
#include "storage/unpack.hpp"

namespace coracle::storage {
namespace {

const char* media_type_of(Compression compression) {
  switch (compression) {
    case Compression::gzip: return media::kOciLayerGzip;
    case Compression::zstd: return media::kOciLayerZstd;
    default: return media::kOciLayer;
  }
}

// Passes bytes on and keeps them as the blob.
class Tee final : public ByteSource {
 public:
  Tee(ByteSource& from, BlobStore::Writer& blob) : from_(from), blob_(blob) {}
  Result<std::size_t> read(std::span<char> into) override {
    TRY(const auto n, from_.read(into));
    if (n > 0) CHECK(blob_.write({into.data(), n}));
    return n;
  }

 private:
  ByteSource& from_;
  BlobStore::Writer& blob_;
};

// What the unpacker reads: the ring's chunks, and progress told as they are used up.
class RingSource final : public ByteSource {
 public:
  RingSource(ChunkRing& ring, const std::function<void(std::int64_t)>& told)
      : ring_(ring), told_(told) {}
  Result<std::size_t> read(std::span<char> into) override {
    if (rest_.empty()) {
      tell(false);
      TRY(const auto chunk, ring_.next());
      rest_ = chunk.bytes;
      mark_ = chunk.mark;
      if (rest_.empty()) return std::size_t{0};
    }
    const auto n = std::min(into.size(), rest_.size());
    rest_.copy(into.data(), n);
    rest_.remove_prefix(n);
    return n;
  }
  // An archive's end comes before the bytes' end: what is left is hashed too.
  Result<> drain() {
    rest_ = {};
    for (;;) {
      TRY(const auto chunk, ring_.next());
      if (chunk.bytes.empty()) break;
      mark_ = chunk.mark;
    }
    tell(true);
    return {};
  }

 private:
  void tell(bool always) {
    if (!told_ || mark_ == 0) return;
    const auto time = std::chrono::steady_clock::now();
    if (!always && time - last_ < std::chrono::milliseconds(100)) return;
    last_ = time;
    told_(mark_);
  }
  ChunkRing& ring_;
  const std::function<void(std::int64_t)>& told_;
  std::string_view rest_;
  std::int64_t mark_ = 0;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// The inflating half of stage(), on a thread of its own: source -> blob -> inflate -> hash -> ring.
struct Inflating {
  ByteSource& source;
  BlobStore::Writer& blob;
  bool blob_known;  // its digest is: it must be kept as it comes
  ChunkRing& ring;
  std::string diff_id{};
  std::string media_type{};

  Result<> run() {
    // What nobody names by digest and no registry takes (xz) is kept inflated.
    std::string head(16, '\0');
    TRY(const auto n, read_full(source, head));
    head.resize(n);
    const auto whole = joined(head, source);
    const auto compression = compression_of(head);
    if (compression == Compression::other && !blob_known) {
      TRY(const auto plain, inflated(*whole, compression));
      Tee tee(*plain, blob);
      media_type = media::kOciLayer;
      return pump(tee, tee, true);
    }
    Tee tee(*whole, blob);
    media_type = media_type_of(compression);
    TRY(const auto plain, inflated(tee, compression));
    return pump(*plain, tee, compression == Compression::none);
  }

  // same: what is received is the tar itself, so that one hash serves as both digests.
  Result<> pump(ByteSource& plain, ByteSource& received, bool same) {
    Sha256 hash;
    for (;;) {
      const auto chunk = ring.free_chunk();
      if (chunk.empty()) return {};  // the unpacker has failed; its error counts
      TRY(const auto n, plain.read(chunk));
      if (n == 0) break;
      if (!same) hash.update({chunk.data(), n});
      ring.publish(n, blob.size());
    }
    diff_id = same ? blob.digest() : hash.finish();
    if (same) return {};
    // Padding behind compressed data belongs to the blob.
    std::string rest(std::size_t{16} << 10, '\0');
    for (;;) {
      TRY(const auto n, received.read(rest));
      if (n == 0) return {};
    }
  }
};

}  // namespace

// ---- staged
// --------------------------------------------------------------------------------------------------

LayerStore::Staged::Staged(Staged&& other) noexcept
    : info(std::move(other.info)),
      store_(other.store_),
      directory_(std::exchange(other.directory_, {})),
      blob_(std::move(other.blob_)) {}

LayerStore::Staged::~Staged() {
  if (directory_.empty()) return;
  if (auto done = store_->trash_.take(directory_); !done)
    log::warn("staged layer not removed path={} reason={}", directory_, done.error().message);
}

// ---- the store
// -----------------------------------------------------------------------------------------------

LayerStore::LayerStore(std::string root, bool one_id, BlobStore& blobs, Trash& trash, Pins& pins)
    : root_(std::move(root)), one_id_(one_id), blobs_(blobs), trash_(trash), pins_(pins) {}

Result<> LayerStore::open(std::vector<Damaged>& damaged) {
  CHECK(make_dirs(root_ + "/layers"));
  CHECK(make_dirs(root_ + "/tmp"));
  TRY(const auto names, list_dir(root_ + "/layers"));
  for (const auto& name : names) {
    const std::string path = root_ + "/layers/" + name;
    auto text = read_file(path + "/layer.json");
    auto info = text ? json::from_text<LayerInfo>(*text) : std::unexpected(text.error());
    if (info && (info->chain_id != digest_of_hex(name) || !exists(path + "/diff")))
      info = fail(Errc::internal, "it is not the layer that its name says");
    if (!info) {
      damaged.push_back({path, info.error().message});
      continue;
    }
    know(*info);
  }
  return {};
}

void LayerStore::know(const LayerInfo& info) {
  const std::lock_guard lock(mutex_);
  layers_[info.chain_id] = info;
}

bool LayerStore::has(const std::string& chain_id) const {
  const std::lock_guard lock(mutex_);
  return layers_.contains(chain_id);
}

std::optional<LayerInfo> LayerStore::find(const std::string& chain_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = layers_.find(chain_id);
  if (found == layers_.end()) return std::nullopt;
  return found->second;
}

std::vector<LayerInfo> LayerStore::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<LayerInfo> out;
  for (const auto& [id, info] : layers_) out.push_back(info);
  return out;
}

std::string LayerStore::diff_path(const std::string& chain_id) const {
  return root_ + "/layers/" + hex_of(chain_id) + "/diff";
}

Result<std::vector<std::string>> LayerStore::diff_paths(
    const std::vector<std::string>& diff_ids) const {
  std::vector<std::string> out;
  for (const auto& id : chain_ids(diff_ids)) {
    if (!has(id)) {
      return fail(Errc::not_found, "layer {}: not in the store; pull or load its image again", id);
    }
    out.insert(out.begin(), diff_path(id));
  }
  return out;
}

Result<LayerStore::Staged> LayerStore::stage(const LayerRequest& request, LayerSource& source) {
  const std::string directory = root_ + "/tmp/layer-" + random_id();
  TRY(auto writer, blobs_.begin());
  CHECK(make_dirs(directory + "/diff", 0755));
  Staged staged(*this, directory, std::move(writer));
  // The mode of a root directory that the layer does not name, whatever the umask.
  if (::chmod((directory + "/diff").c_str(), 0755) != 0) return sys_error("set the mode");
  TRY(const auto root, open_dir(directory + "/diff"));

  ChunkRing ring;
  Inflating inflating{source, staged.blob_, !request.blob.digest.empty(), ring};
  Result<> inflate_result;
  std::jthread inflater([&] {
    inflate_result = inflating.run();
    ring.finish(inflate_result);
  });
  RingSource tar(ring, request.unpacked);
  auto unpacked = unpack(tar, root, {.one_id = one_id_});
  auto drained = unpacked ? tar.drain() : Result<>{};
  ring.abandon();
  inflater.join();

  const std::string name = request.blob.digest.empty() ? "layer" : "layer " + request.blob.digest;
  // The inflater's error comes to the unpacker too; its own text is the better one.
  if (!inflate_result) return std::unexpected(inflate_result.error().within("{}", name));
  if (!unpacked) return std::unexpected(unpacked.error().within("{}", name));
  if (!drained) return std::unexpected(drained.error().within("{}", name));
  if (!request.blob.digest.empty() && staged.blob_.digest() != request.blob.digest) {
    return fail(Errc::invalid_argument, "{}: what arrived has the digest {}", name,
                staged.blob_.digest());
  }
  if (!request.diff_id.empty() && inflating.diff_id != request.diff_id) {
    return fail(Errc::invalid_argument, "{}: unpacked it is {}, the image says {}", name,
                inflating.diff_id, request.diff_id);
  }
  staged.info.diff_id = inflating.diff_id;
  staged.info.blob = staged.blob_.digest();
  staged.info.media_type =
      request.blob.media_type.empty() ? inflating.media_type : request.blob.media_type;
  staged.info.size = unpacked->bytes;
  staged.info.blob_size = staged.blob_.size();
  return staged;
}

Result<LayerInfo> LayerStore::commit(Staged staged, const std::string& parent) {
  LayerInfo info = staged.info;
  info.parent = parent;
  info.chain_id = storage::chain_id(parent, info.diff_id);
  if (const auto there = find(info.chain_id)) {
    // Another image may name the same layer by other bytes: save gives back those.
    if (!blobs_.has(info.blob)) CHECK(staged.blob_.commit(""));
    return *there;
  }
  CHECK(write_file_atomic(staged.directory_ + "/layer.json", json::to_text(info), 0600,
                          Durability::unsynced));
  CHECK(fail_point("layer.unpacked"));
  // Once for thousands of files, the blob, and layer.json.
  UniqueFd on(::open(staged.directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!on || ::syncfs(on.get()) != 0) return sys_error("sync layer {}", info.chain_id);
  CHECK(staged.blob_.commit("", true));
  CHECK(fail_point("layer.rename"));
  const std::string final_path = root_ + "/layers/" + hex_of(info.chain_id);
  if (!has(info.chain_id) && exists(final_path)) CHECK(trash_.take(final_path));  // a damaged one
  if (::rename(staged.directory_.c_str(), final_path.c_str()) != 0) {
    // Another ingest of the same layer was quicker: the same bytes.
    if (errno != ENOTEMPTY && errno != EEXIST) return sys_error("store layer {}", info.chain_id);
    if (const auto there = find(info.chain_id)) return *there;
    return fail(Errc::internal, "store layer {}: its place is taken", info.chain_id);
  }
  staged.directory_.clear();
  CHECK(sync_dir(root_ + "/layers"));
  know(info);
  return info;
}

Result<LayerInfo> LayerStore::ingest(const LayerRequest& request, LayerSource& source) {
  TRY(auto staged, stage(request, source));
  return commit(std::move(staged), request.parent);
}

Result<> LayerStore::remove(const std::string& chain_id) {
  {
    const std::lock_guard lock(mutex_);
    layers_.erase(chain_id);
  }
  return trash_.take(root_ + "/layers/" + hex_of(chain_id));
}

}  // namespace coracle::storage
