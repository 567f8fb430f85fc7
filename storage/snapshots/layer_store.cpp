#include "storage/snapshots/layer_store.hpp"

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
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "storage/content/chunk_ring.hpp"
#include "storage/unpacker/client.hpp"

namespace coracle::storage {
namespace {

const char* media_type_of(Compression compression) {
  switch (compression) {
    case Compression::gzip: return media::kOciLayerGzip;
    case Compression::zstd: return media::kOciLayerZstd;
    default: return media::kOciLayer;
  }
}

// The one that the directory is on.
Result<> sync_file_system(const std::string& directory) {
  const UniqueFd on(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!on || ::syncfs(on.get()) != 0) return sys_error("sync the layer in {}", directory);
  return {};
}

// Passes bytes on and keeps them as the blob.
class Tee final : public ByteSource {
 public:
  Tee(ByteSource& from, BlobStore::Writer& blob) : from_(from), blob_(blob) {}
  Result<std::size_t> read(std::span<char> into) override {
    TRY(const auto n, from_.read(into));
    if (n > 0) CHECK(blob_.write({into.data(), n}));
    passed_ += static_cast<std::int64_t>(n);
    return n;
  }
  // Bytes so far. From any thread.
  [[nodiscard]] std::int64_t passed() const { return passed_; }

 private:
  ByteSource& from_;
  BlobStore::Writer& blob_;
  std::atomic<std::int64_t> passed_ = 0;
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
      if (chunk.bytes.empty()) return std::size_t{0};
      rest_ = chunk.bytes;
      mark_ = chunk.mark;
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

// Whatever ends the reading, the filling thread hears it: it could not be joined otherwise.
class RingReader {
 public:
  explicit RingReader(ChunkRing& ring) : ring_(ring) {}
  RingReader(const RingReader&) = delete;
  RingReader& operator=(const RingReader&) = delete;
  ~RingReader() { ring_.abandon(); }

 private:
  ChunkRing& ring_;
};

class HashedSource final : public ByteSource {
 public:
  explicit HashedSource(ByteSource& from) : from_(from) {}
  Result<std::size_t> read(std::span<char> into) override {
    TRY(const auto n, from_.read(into));
    hash_.update({into.data(), n});
    return n;
  }
  // To the end of the bytes: their digest.
  Result<std::string> drain() {
    std::string rest(std::size_t{16} << 10, '\0');
    for (;;) {
      TRY(const auto n, read(rest));
      if (n == 0) return hash_.finish();
    }
  }

 private:
  ByteSource& from_;
  Sha256 hash_;
};

// The inflating half of stage(), on a thread of its own: source -> blob -> inflate -> hash -> ring.
struct Inflating {
  ByteSource& source;
  BlobStore::Writer& blob;
  bool blob_known;  // its digest is: it must be kept as it comes
  ChunkRing& ring;
  const StopFlag* stop;
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
      TRY(const auto plain, inflated_apart(*whole, compression));
      Tee tee(*plain, blob);
      media_type = media::kOciLayer;
      return pump(tee, tee, true);
    }
    Tee tee(*whole, blob);
    media_type = media_type_of(compression);
    TRY(const auto plain, inflated_apart(tee, compression));
    return pump(*plain, tee, compression == Compression::none);
  }

  // same: what is received is the tar itself, so that one hash serves as both digests.
  Result<> pump(ByteSource& plain, Tee& received, bool same) {
    Sha256 hash;
    for (;;) {
      const auto chunk = ring.free_chunk();
      if (chunk.empty()) return {};  // the unpacker has failed; its error counts
      // Asked here, too: few bytes of the source may make many.
      if (stop != nullptr) CHECK(check_stop(*stop));
      TRY(const auto n, plain.read(chunk));
      if (n == 0) break;
      if (!same) hash.update({chunk.data(), n});
      ring.publish(n, received.passed());
    }
    diff_id = same ? blob.digest() : hash.finish();
    if (same) return {};
    // Padding behind compressed data belongs to the blob.
    return drain(received);
  }
};

}  // namespace

// ---- staged

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
    const bool unpacked = exists(path + "/diff");
    if (info && info->chain_id != digest_of_hex(name))
      info = fail(Errc::internal, "it is not the layer that its name says");
    if (info && !unpacked && !blobs_.has(info->blob))
      info = fail(Errc::internal, "its directory diff is missing, and so is its blob");
    if (!info) {
      damaged.push_back({path, info.error().message});
      continue;
    }
    know(*info, unpacked);
  }
  return {};
}

void LayerStore::know(const LayerInfo& info, bool has_directory) {
  const std::lock_guard lock(mutex_);
  layers_[info.chain_id] = info;
  if (has_directory)
    blob_only_.erase(info.chain_id);
  else
    blob_only_.insert(info.chain_id);
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
  Inflating inflating{source, staged.blob_, !request.blob.digest.empty(), ring, request.stop};
  Result<> inflate_result;
  std::jthread inflater([&] {
    try {
      inflate_result = inflating.run();
    } catch (...) {
      inflate_result = std::unexpected(detail::error_of(std::current_exception()));
    }
    ring.finish(inflate_result);
  });
  const RingReader reader(ring);
  RingSource tar(ring, request.unpacked);
  auto unpacked = unpack_apart(tar, root, {.one_id = one_id_});
  auto drained = unpacked ? tar.drain() : Result<>{};
  ring.abandon();
  inflater.join();

  if (request.stop != nullptr) CHECK(check_stop(*request.stop));
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
  staged.blob_.rest();
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
  CHECK(sync_file_system(staged.directory_));
  CHECK(staged.blob_.commit("", true));
  CHECK(fail_point("layer.rename"));
  const std::lock_guard one(naming_);
  // Another ingest of the same layer was quicker: the same bytes.
  if (const auto there = find(info.chain_id)) return *there;
  const std::string final_path = root_ + "/layers/" + hex_of(info.chain_id);
  if (!has(info.chain_id) && exists(final_path)) CHECK(trash_.take(final_path));  // a damaged one
  if (::rename(staged.directory_.c_str(), final_path.c_str()) != 0) {
    return sys_error("store layer {}", info.chain_id);
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

// ---- layers that are only placed

Result<LayerInfo> LayerStore::place(BlobStore::Writer tar, std::int64_t size,
                                    const std::string& parent) {
  LayerInfo info;
  info.parent = parent;
  info.diff_id = info.blob = tar.digest();
  info.chain_id = storage::chain_id(parent, info.diff_id);
  info.media_type = media::kOciLayer;
  info.size = size;
  info.blob_size = tar.size();
  const auto there = find(info.chain_id);
  if (!there || !blobs_.has(info.blob)) CHECK(tar.commit(""));
  if (there) return *there;
  const std::string directory = root_ + "/tmp/layer-" + random_id();
  CHECK(make_dirs(directory));
  CHECK(write_file_atomic(directory + "/layer.json", json::to_text(info)));
  CHECK(fail_point("layer.place.rename"));
  const std::lock_guard one(naming_);
  const std::string final_path = root_ + "/layers/" + hex_of(info.chain_id);
  const auto quicker = find(info.chain_id);                            // another commit of the same
  if (!quicker && exists(final_path)) CHECK(trash_.take(final_path));  // a damaged one
  if (quicker || ::rename(directory.c_str(), final_path.c_str()) != 0) {
    const int error = errno;
    CHECK(trash_.take(directory));
    if (quicker) return *quicker;
    return sys_error_of(error, "store layer {}", info.chain_id);
  }
  CHECK(sync_dir(root_ + "/layers"));
  know(info, false);
  return info;
}

bool LayerStore::is_blob_only(const std::string& chain_id) const {
  const std::lock_guard lock(mutex_);
  return blob_only_.contains(chain_id);
}

std::vector<std::string> LayerStore::blob_only() const {
  const std::lock_guard lock(mutex_);
  return {blob_only_.begin(), blob_only_.end()};
}

// The bytes of its files.
Result<std::int64_t> unpack_blob(const UniqueFd& blob, const LayerInfo& info, const UniqueFd& root,
                                 bool one_id, const std::atomic<bool>& stop) {
  FdSource from(blob);
  StoppableSource source(from, stop);
  std::string head(16, '\0');
  TRY(const auto n, read_full(source, head));
  head.resize(n);
  const auto whole = joined(head, source);
  TRY(const auto plain, inflated_apart(*whole, compression_of(head)));
  StoppableSource made(*plain, stop);
  HashedSource tar(made);
  TRY(const auto unpacked, unpack_apart(tar, root, {.one_id = one_id}));
  TRY(const auto diff_id, tar.drain());
  if (diff_id != info.diff_id)
    return fail(Errc::internal, "blob {}: unpacked it is {}, its layer says {}", info.blob, diff_id,
                info.diff_id);
  return unpacked.bytes;
}

Result<> LayerStore::unpack_blob_only(const std::string& chain_id, const std::atomic<bool>& stop) {
  if (!is_blob_only(chain_id)) return {};
  const auto info = find(chain_id);
  if (!info) return fail(Errc::not_found, "layer {}: not in the store", chain_id);
  const std::string directory = root_ + "/tmp/layer-" + random_id();
  CHECK(make_dirs(directory + "/diff", 0755));
  const auto make = [&]() -> Result<> {
    if (::chmod((directory + "/diff").c_str(), 0755) != 0) return sys_error("set the mode");
    TRY(const auto root, open_dir(directory + "/diff"));
    TRY(const auto blob, blobs_.open(info->blob));
    CHECK(unpack_blob(blob, *info, root, one_id_, stop));
    CHECK(fail_point("layer.place.unpacked"));
    CHECK(sync_file_system(directory));
    const auto place = root_ + "/layers/" + hex_of(chain_id);
    if (::rename((directory + "/diff").c_str(), (place + "/diff").c_str()) != 0)
      return sys_error("store it");
    return sync_dir(place);
  };
  const auto made = make();
  if (auto done = trash_.take(directory); !done)
    log::warn("left over path={} reason={}", directory, done.error().message);
  // It was removed meanwhile.
  if (!find(chain_id)) return fail(Errc::not_found, "layer {}: it was removed", chain_id);
  if (!made) return std::unexpected(made.error().within("unpack layer {}", chain_id));
  const std::lock_guard lock(mutex_);
  blob_only_.erase(chain_id);
  return {};
}

Result<> LayerStore::note_pushed(const std::string& chain_id, PushedBlob blob) {
  const std::lock_guard one(naming_);
  auto info = find(chain_id);
  if (!info) return fail(Errc::not_found, "layer {} is gone", chain_id);
  info->pushed = std::move(blob);
  const auto record = root_ + "/layers/" + hex_of(chain_id) + "/layer.json";
  CHECK(write_file_atomic(record, json::to_text(*info)));
  const std::lock_guard lock(mutex_);
  if (const auto found = layers_.find(chain_id); found != layers_.end()) found->second = *info;
  return {};
}

Result<> LayerStore::remove(const std::string& chain_id) {
  {
    const std::lock_guard lock(mutex_);
    layers_.erase(chain_id);
    blob_only_.erase(chain_id);
  }
  return trash_.take(root_ + "/layers/" + hex_of(chain_id));
}

}  // namespace coracle::storage
