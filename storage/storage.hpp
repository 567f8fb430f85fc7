// The face of storage: images, layers, volumes. Knows digests and directories; never containers,
// networks or HTTP. All state lies below one directory (mode 0700); storage/storage.cpp tells its
// layout. Functions that answer at once answer from memory; Tasks do their file work on worker
// threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "storage/content/config.hpp"
#include "storage/content/damaged.hpp"
#include "storage/content/progress.hpp"
#include "storage/images/image.hpp"
#include "storage/registry/credentials.hpp"
#include "storage/registry/remote_image.hpp"
#include "storage/registry/search_result.hpp"
#include "storage/snapshots/mount_plan.hpp"
#include "storage/volumes/volume.hpp"

namespace coracle::storage {

class Storage {
 public:
  // Makes or opens the store: probes the driver (or takes the one that is asked for), reads the
  // index of images and volumes, empties the trash. A damaged object is left out and reported by
  // damaged().
  //   errors  with the remedy, when the driver that is asked for cannot be used here
  static Result<std::unique_ptr<Storage>> open(asio::io_context& io, Workers& workers,
                                               Config config);
  virtual ~Storage() = default;

  [[nodiscard]] virtual std::string driver() const = 0;  // overlay, fuse-overlayfs, copy
  // What the probe found, as `docker info` shows it: {{"Backing Filesystem","extfs"},{"Why not
  // overlay","…"}}
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> driver_status() const = 0;
  [[nodiscard]] virtual std::vector<Damaged> damaged() const = 0;

  // -- images
  [[nodiscard]] virtual std::vector<Image> images() const = 0;  // newest first
  // By name, name@digest, id, or a unique prefix of an id (with or without sha256:).
  //   errors  not_found "No such image: X"; invalid_argument (ambiguous prefix, bad name)
  [[nodiscard]] virtual Result<Image> find(const std::string& name) const = 0;
  virtual Task<> tag(std::string image_id, Reference to) = 0;
  // Takes a name away; an image that has none left goes, with the layers that nobody else needs (in
  // the background). The rules about containers are the engine's. `name` as find() takes it: an id
  // with one name, or with force, takes all its names.
  //   keep  it stays without a name, too
  virtual Task<Removed> remove(std::string name, bool force, bool keep = false) = 0;
  // Streams: layers download, verify and unpack in parallel. Cancelling the awaiting coroutine ends
  // it cleanly; a repeated pull goes on.   errors, before the first progress: Docker's texts and
  // codes
  virtual Task<Image> pull(Reference ref, RegistryAuth auth, Platform platform,
                           ProgressSink progress) = 0;
  // All tags of a repository, one after the other.
  virtual Task<> pull_all(Reference repository, RegistryAuth auth, Platform platform,
                          ProgressSink progress) = 0;
  // Sends it under this name, which has a tag; its digest there becomes one of the image's.
  // Progress: Docker's, the last with what was pushed.
  //   errors  not_found; the registry's, in its words
  virtual Task<> push(Reference name, RegistryAuth auth, ProgressSink progress) = 0;
  // What a registry has under a name.   errors  as pull()
  virtual Task<RemoteImage> look_up(Reference ref, RegistryAuth auth) = 0;
  // What a registry finds for "term", or "host:5000/term".
  virtual Task<std::vector<SearchResult>> search(std::string term, int limit,
                                                 RegistryAuth auth) = 0;
  // Are these credentials good at their server_address ("": the default registry)? Nothing is kept;
  // the answer is an identity token that its client may keep instead of the password, or "".
  //   errors  unauthorized, in the registry's words
  virtual Task<std::string> login(RegistryAuth auth) = 0;
  // Reads docker-archive or OCI layout, plain or compressed, from a pipe until its end. Images of
  // other platforms than `wanted` are passed over.
  // Progress: stream "Loaded image: x:1\n".
  virtual Task<std::vector<Image>> load(UniqueFd from, std::optional<Platform> wanted,
                                        ProgressSink progress) = 0;
  // A tar, any compression.
  virtual Task<Image> import(UniqueFd from, ImportOptions options) = 0;
  // The one that options.source, a URL, names.
  //   errors  invalid_argument (no URL; its server refuses), not_found (404 there)
  virtual Task<Image> import_remote(ImportOptions options, ProgressSink progress) = 0;
  // Writes a tar that is OCI layout and docker-archive in one; ends by closing `to`.
  virtual Task<> save(std::vector<std::string> names, UniqueFd to) = 0;

  // -- writable layers, by an id of the caller's (the container's)
  // One that is made survives a kill; a power cut, once sync_layers() has answered.
  virtual Task<> create_layer(std::string id, std::string image_id) = 0;
  // Blocking, and of any thread: a caller that has names of its own to sync does both at once.
  [[nodiscard]] virtual Result<> sync_layers(const std::vector<std::string>& ids) const = 0;
  // The plan stays valid while the layer exists; layers below are kept by it too.
  [[nodiscard]] virtual Result<MountPlan> mount_plan(const std::string& id) const = 0;
  virtual Task<> remove_layer(
      std::string id) = 0;  // rename into the trash, unlinking in the background
  [[nodiscard]] virtual std::vector<std::string> layers() const = 0;
  // What the layer holds besides its image (SizeRw).
  //   version  names the state of a layer that nothing writes to (when its container ended): the
  //            answer is kept for the next question with the same one; "": walks in any case
  //   errors   not_found
  virtual Task<LayerUsage> layer_usage(std::string id, std::string version) = 0;
  // Somebody wrote to an idle layer: what is kept of it is forgotten.
  virtual void layer_changed(const std::string& id) = 0;
  // Against the image, parents before children, names in order. What the engine makes in every root
  // (mount points in /dev, empty /etc/hosts …) is left out.   errors  not_found
  virtual Task<std::vector<Change>> changes(std::string id) = 0;
  // The whole root as a tar, without what is mounted in it; ends by closing `to`. errors: not_found
  virtual Task<> export_layer(std::string id, UniqueFd to) = 0;
  // The changes as a layer of a new image on top of the layer's own. What is written to meanwhile
  // is taken as it comes.   errors  not_found; invalid_argument (an instruction)
  virtual Task<Image> commit(std::string id, CommitOptions options) = 0;

  // -- volumes
  [[nodiscard]] virtual std::vector<Volume> volumes() const = 0;
  [[nodiscard]] virtual Result<Volume> find_volume(
      const std::string& name) const = 0;  // "get X: no such volume"
  // name "" makes an anonymous one of 64 hex. An existing one is returned as it is.
  virtual Task<Volume> create_volume(std::string name, std::map<std::string, std::string> labels,
                                     std::map<std::string, std::string> options) = 0;
  virtual Task<> remove_volume(std::string name) = 0;
  // Fills a volume that is empty from an image (owners, modes, links kept); all or nothing, also
  // when the daemon is killed meanwhile. A tmpfs stays empty, as at Docker.
  //   errors  not_found (volume, image, subpath)
  virtual Task<> fill_volume(VolumeFill what) = 0;
  // A tmpfs is mounted at its mountpoint; of a bind volume the directory is looked at. Twice is
  // fine.
  //   errors  Docker's "failed to mount local volume: mount …"
  virtual Task<> mount_volume(std::string name) = 0;
  virtual Task<> unmount_volume(std::string name) = 0;
  // The volumes that are mounted now; blocking, for the start: a daemon before this one may have
  // left some.
  [[nodiscard]] virtual std::vector<std::string> mounted_volumes() const = 0;

  // Ends background work (unlinking goes on at the next start).
  virtual Coro<void> close() = 0;
};

}  // namespace coracle::storage
