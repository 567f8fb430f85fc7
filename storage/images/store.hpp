// Images: images/HEX/image.json, one a piece, HEX the digits of the id. It holds what is not in the
// blobs: names, repository digests, the manifest's digest. All images are in memory too; reads
// answer from there.
//
// Names: a name belongs to the image that took it last. A kill between taking it and striking it
// from the image that had it leaves two that claim it: at start the later time wins.
//
// Safe from any thread. Reads are quick; what writes is for worker threads, one at a time.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/base/result.hpp"
#include "storage/content/blob_store.hpp"
#include "storage/content/damaged.hpp"
#include "storage/content/trash.hpp"
#include "storage/images/image.hpp"
#include "storage/images/manifest.hpp"
#include "storage/snapshots/layer_store.hpp"

namespace coracle::storage {

// A name in image.json.
struct NameRecord {
  std::string name;  // canonical: "docker.io/library/alpine:3"
  Time since;
};
void describe(auto& field, NameRecord& n) { field("name", n.name)("since", n.since); }

// image.json
struct ImageRecord {
  std::string id, manifest;  // digests: of the configuration, of the manifest
  std::string manifest_type;
  std::vector<NameRecord> names;
  std::vector<std::string> digests;  // canonical: "docker.io/library/alpine@sha256:…"
  std::string parent;
  Time added, last_tag_time;
};
void describe(auto& field, ImageRecord& r) {
  field("id", r.id)("manifest", r.manifest)("manifest_type", r.manifest_type)("names", r.names)(
      "digests", r.digests)("parent", r.parent)("added", r.added)("last_tag_time", r.last_tag_time);
}

struct NewImage {
  std::string manifest, manifest_type;  // bytes as received, and what they are
  std::string config;                   // bytes as received
  std::vector<Reference> names;         // with a tag: names to give; with a digest: repo digests
  std::string parent;
};

class ImageStore {
 public:
  ImageStore(std::string root, BlobStore& blobs, LayerStore& layers, Trash& trash);
  // Reads every image.json. Damaged images (also: a layer or the configuration is not there) are
  // left out and told.
  Result<> open(std::vector<Damaged>& damaged);

  [[nodiscard]] std::vector<Image> images() const;  // newest first
  // As Storage::find().
  [[nodiscard]] Result<Image> find(const std::string& name) const;
  [[nodiscard]] Result<Image> by_id(const std::string& id) const;  // "sha256:…"
  [[nodiscard]] Result<ImageRecord> record(const std::string& id) const;

  // Makes an image known whose layers are in the layer store (pinned by the caller); stores
  // manifest and configuration. An image that is there gets the new names besides its own.
  //   errors  invalid_argument (manifest and configuration do not fit), not_found (a layer)
  Result<Image> add(const NewImage& image);
  Result<> tag(const std::string& image_id, const Reference& to);
  // A repository has it under this digest.
  Result<> add_digest(const std::string& image_id, const Reference& there);
  // As Storage::remove(), without the sweeping of layers and blobs.
  Result<Removed> remove(const std::string& name, bool force, bool keep);

  // Of every image: chain ids and blobs, for gc.
  [[nodiscard]] std::vector<std::string> reachable() const;
  // False while there is a damaged image: what it reaches is not known, so nothing may be swept.
  [[nodiscard]] Result<bool> all_known() const;

 private:
  struct Entry {
    ImageRecord record;
    Image image;
    std::vector<std::string> keys;  // what it reaches
  };
  [[nodiscard]] Result<Entry> make_entry(const ImageRecord& record, const ConfigFile& config) const;
  [[nodiscard]] Result<Entry> entry_of(const std::string& image_id) const;
  Result<Entry> load(const std::string& directory) const;
  Result<> write(const ImageRecord& record);
  void publish(Entry entry);
  Result<> strike(const std::string& name, const std::string& except_id);
  [[nodiscard]] Result<std::string> resolve(const std::string& name) const;  // -> id; data_ held

  std::string root_;
  BlobStore& blobs_;
  LayerStore& layers_;
  Trash& trash_;
  std::mutex writing_;       // one change at a time; held over file work
  mutable std::mutex data_;  // guards entries_; held for a moment
  std::map<std::string, Entry> entries_;
};

}  // namespace coracle::storage
