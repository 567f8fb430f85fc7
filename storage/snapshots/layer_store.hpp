// Layers, unpacked once, by chain id: layers/HEX/{diff/,layer.json}. `diff` is in overlay's own
// format (whiteout: character device 0/0; opaque directory: user.overlay.opaque = "y"), which all
// three drivers read. A layer is unpacked in tmp/ while its bytes still arrive, verified, synced
// (syncfs once), and renamed: what has its name is whole.
//
// A layer may also be there as its blob alone (place), without `diff`: a commit is answered when
// its tar is on the disk, and the directory is made from that beside it, or when it is first
// needed (unpack_blob_only). So a `diff` that is lost is made again.
//
// Safe from any thread. Everything but has(), find() and the paths is slow: for worker threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "storage/content/blob_store.hpp"
#include "storage/content/byte_source.hpp"
#include "storage/content/damaged.hpp"
#include "storage/content/descriptor.hpp"
#include "storage/content/pins.hpp"
#include "storage/content/trash.hpp"

namespace coracle::storage {

// Where the bytes of a layer come from. An error of read() ends the ingest and is what ingest()
// returns (so that is how it is cancelled). Not always called on the thread of ingest().
using LayerSource = ByteSource;

// What a layer is in a registry, where it was compressed for.
struct PushedBlob {
  std::string digest;
  std::int64_t size = 0;
};
void describe(auto& field, PushedBlob& p) { field("digest", p.digest)("size", p.size); }

// layer.json
struct LayerInfo {
  std::string chain_id, parent;  // parent: chain id of the layer below, "" for the lowest
  std::string diff_id;           // of the uncompressed tar
  std::string blob;              // digest of the bytes as received
  std::string media_type;        // of the blob
  std::int64_t size = 0;         // bytes of the files, unpacked
  std::int64_t blob_size = 0;
  std::optional<PushedBlob> pushed;  // of a layer whose blob is not compressed
};
void describe(auto& field, LayerInfo& l) {
  field("chain_id", l.chain_id)("parent", l.parent)("diff_id", l.diff_id)("blob", l.blob)(
      "media_type", l.media_type)("size", l.size)("blob_size", l.blob_size)("pushed", l.pushed);
}

struct LayerRequest {
  Descriptor blob;      // digest "": whatever arrives; size 0: unknown
  std::string diff_id;  // "": whatever comes out
  std::string parent;   // chain id of the layer below, "" for the lowest
  // Called on the worker's thread, at most some ten times a second, with the bytes (of the blob)
  // that have been unpacked so far.
  std::function<void(std::int64_t)> unpacked = {};
  const StopFlag* stop = nullptr;  // set: ends soon, with an error, and leaves nothing
};

// Unpacks a layer's blob into an empty directory, verified by its diff id.
// The bytes of its files.   errors  internal (another diff id), those of LayerStore::ingest()
Result<std::int64_t> unpack_blob(const UniqueFd& blob, const LayerInfo& info, const UniqueFd& root,
                                 bool one_id, const std::atomic<bool>& stop);

class LayerStore {
 public:
  LayerStore(std::string root, bool one_id, BlobStore& blobs, Trash& trash, Pins& pins);
  // Makes the directories, reads every layer.json. Damaged layers are left out and told.
  Result<> open(std::vector<Damaged>& damaged);

  [[nodiscard]] bool has(const std::string& chain_id) const;
  [[nodiscard]] std::optional<LayerInfo> find(const std::string& chain_id) const;
  [[nodiscard]] std::vector<LayerInfo> list() const;
  // "ROOT/layers/HEX/diff"
  [[nodiscard]] std::string diff_path(const std::string& chain_id) const;
  // The directories of a stack, topmost first, as a mount takes them. They are there when none
  // of the layers is there as a blob only.   errors  not_found, with the layer's name
  [[nodiscard]] Result<std::vector<std::string>> diff_paths(
      const std::vector<std::string>& diff_ids) const;

  // Reads one layer to its end: keeps the bytes as a blob, inflates, unpacks, verifies both
  // digests. Two at once of the same layer are harmless: the later finds it there.   errors
  // invalid_argument (a digest differs, the archive is broken), the source's own, those of the file
  // system; ids beyond the map with the remedy
  Result<LayerInfo> ingest(const LayerRequest& request, LayerSource& source);

  // The two halves of ingest(), for archives that tell the order of layers last. A staged layer
  // that is dropped leaves nothing.
  class Staged {
   public:
    Staged(Staged&& other) noexcept;
    Staged& operator=(Staged&&) = delete;
    ~Staged();
    LayerInfo info;  // chain_id and parent still empty

   private:
    friend class LayerStore;
    Staged(LayerStore& store, std::string directory, BlobStore::Writer blob)
        : store_(&store), directory_(std::move(directory)), blob_(std::move(blob)) {}
    LayerStore* store_;
    std::string directory_;  // "" once committed or moved from
    BlobStore::Writer blob_;
  };
  Result<Staged> stage(const LayerRequest& request, LayerSource& source);
  Result<LayerInfo> commit(Staged staged, const std::string& parent);

  // A layer as the blob that holds its tar, not compressed; `size`: the bytes of its files. The
  // blob and the layer's name are on the disk when it returns; its directory is not made.
  Result<LayerInfo> place(BlobStore::Writer tar, std::int64_t size, const std::string& parent);
  // Its directory is still to be made.
  [[nodiscard]] bool is_blob_only(const std::string& chain_id) const;
  [[nodiscard]] std::vector<std::string> blob_only() const;
  // Makes it of the blob, verified as by ingest(). Nothing to do is fine.
  //   stop    true: ends soon, with an error
  //   errors  not_found (no such layer, or no longer), those of ingest()
  Result<> unpack_blob_only(const std::string& chain_id, const std::atomic<bool>& stop);

  // Kept, so that the next push asks for it instead of compressing again.
  Result<> note_pushed(const std::string& chain_id, PushedBlob blob);

  Result<> remove(const std::string& chain_id);  // into the trash

  Pins& pins() { return pins_; }
  [[nodiscard]] bool one_id() const { return one_id_; }

 private:
  void know(const LayerInfo& info, bool has_directory = true);

  std::string root_;
  bool one_id_;
  BlobStore& blobs_;
  Trash& trash_;
  Pins& pins_;
  std::mutex naming_;         // one layer at a time gets its name and is known by it
  mutable std::mutex mutex_;  // guards layers_, blob_only_
  std::map<std::string, LayerInfo> layers_;
  std::set<std::string> blob_only_;  // those without a directory
};

}  // namespace coracle::storage
