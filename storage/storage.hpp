// The face of storage: images, layers, volumes. Knows digests and directories; never containers,
// networks or HTTP. All state lies below one directory (mode 0700); storage/storage.cpp tells its
// layout. Functions that answer at once answer from memory; Tasks do their file work on worker
// threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/json.hpp"
#include "engine/base/result.hpp"

namespace coracle::storage {

struct Config {
  std::string root;  // data-root/storage
  std::string
      driver;  // "", auto, overlay, fuse-overlayfs, copy ("overlay2" = overlay, "vfs" = copy)
  std::vector<std::string>
      mirrors;  // registry mirrors for the default registry: "http://127.0.0.1:5000"
  std::vector<std::string>
      insecure_registries;  // host[:port] or CIDR; loopback is always among them
  bool one_id = false;      // no id range: every owner in a layer becomes ours
};

// ---- images
// -----------------------------------------------------------------------------------------------

struct Healthcheck {
  std::vector<std::string> test;
  std::int64_t interval_ns = 0, timeout_ns = 0, start_period_ns = 0, start_interval_ns = 0;
  std::int32_t retries = 0;
  bool operator==(const Healthcheck&) const = default;
};
void describe(auto& field, Healthcheck& h) {
  field("Test", h.test)("Interval", h.interval_ns)("Timeout", h.timeout_ns)(
      "StartPeriod", h.start_period_ns)("StartInterval", h.start_interval_ns)("Retries", h.retries);
}

struct Empty {
  bool operator==(const Empty&) const = default;
};
void describe(auto& /*field*/, Empty& /*e*/) {}

// `config` of an image's configuration (OCI image-spec; Docker's names).
struct ImageConfig {
  std::string user;
  std::map<std::string, Empty> exposed_ports;
  std::vector<std::string> env, entrypoint, cmd;
  std::map<std::string, Empty> volumes;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::optional<Healthcheck> healthcheck;
  std::vector<std::string> shell, on_build;
};
void describe(auto& field, ImageConfig& c) {
  field("User", c.user)("ExposedPorts", c.exposed_ports)("Env", c.env)("Entrypoint", c.entrypoint)(
      "Cmd", c.cmd)("Volumes", c.volumes)("WorkingDir", c.working_dir)("Labels", c.labels)(
      "StopSignal", c.stop_signal)("Healthcheck", c.healthcheck)("Shell", c.shell)("OnBuild",
                                                                                   c.on_build);
}

struct HistoryEntry {
  Time created;
  std::string created_by, comment, author;
  bool empty_layer = false;
};
void describe(auto& field, HistoryEntry& h) {
  field("created", h.created)("created_by", h.created_by)("comment", h.comment)("author", h.author)(
      "empty_layer", h.empty_layer);
}

// An image as the store has it.
struct Image {
  std::string id;                         // "sha256:…" of the configuration
  std::vector<std::string> repo_tags;     // familiar form: "alpine:3", "127.0.0.1:5000/x:1"; sorted
  std::vector<std::string> repo_digests;  // "alpine@sha256:…"
  Time created;
  std::string author, comment, architecture, variant, os;
  ImageConfig config;
  std::vector<std::string> diff_ids;  // lowest first
  std::vector<HistoryEntry> history;
  std::int64_t size = 0;                  // bytes unpacked, all layers
  std::vector<std::int64_t> layer_sizes;  // as diff_ids
  std::string parent;
  Time last_tag_time;
};

// An image name, taken apart. Familiar: "alpine" -> domain "docker.io", path "library/alpine", tag
// "latest".
struct Reference {
  std::string domain, path, tag, digest;            // tag or digest may be empty
  [[nodiscard]] std::string familiar_name() const;  // "alpine", "127.0.0.1:5000/x"
  [[nodiscard]] std::string familiar() const;       // with ":tag" or "@digest"
};
// errors: invalid_argument "invalid reference format" (with Docker's reasons)
//   add_latest  gives a name without tag and digest the tag "latest"
Result<Reference> parse_reference(const std::string& text, bool add_latest);

struct RegistryAuth {
  std::string username, password, identity_token, registry_token, server_address;
};

struct Platform {
  std::string os, architecture, variant;  // "" = this host's
};

// One line of progress, in Docker's own words (spec §5.3, §10.1).
struct Progress {
  std::string id;      // layer's short id, or the tag; may be empty
  std::string status;  // "Pulling fs layer", "Downloading", …; empty for a `stream` line
  std::string stream;  // load, build: text with its newline
  std::int64_t current = 0, total = 0;  // 0, 0: no bar
};
// Called on the loop's thread.
using ProgressSink = std::function<void(const Progress&)>;

// ---- writable layers
// --------------------------------------------------------------------------------------

// How a root file system is to be mounted; the monitor carries it out (engine/monitor/protocol
// RootMount).
struct MountPlan {
  std::string type;                // overlay, fuse-overlayfs, bind
  std::vector<std::string> lower;  // topmost first; bind: one
  std::string upper, work;
  std::string program;  // fuse-overlayfs: its path
};

struct Change {
  std::string path;  // "/etc/motd"
  int kind = 0;      // 0 modified, 1 added, 2 deleted
};

struct LayerUsage {
  std::int64_t bytes = 0;    // apparent size of files and links; hard links once
  std::int64_t entries = 0;  // files, directories, links
};

// What a commit makes of a writable layer.
struct CommitOptions {
  std::optional<Reference> tag;
  std::string comment, author, created_by;
  ImageConfig config;
  std::vector<std::string> changes;  // Dockerfile instructions (CMD, ENV, …), applied to it
  ImageConfig defaults;              // what is open after that: the container's own
};

// ---- volumes
// ----------------------------------------------------------------------------------------------

// errors: invalid_argument, "create X: …" in Docker's words
Result<> check_volume_name(const std::string& name);

struct Volume {
  std::string name, driver = "local", mountpoint;
  std::map<std::string, std::string> labels, options;
  Time created;
  bool anonymous = false;
  // It is mounted while containers use it (a tmpfs): mount_volume before the first starts,
  // unmount_volume after the last has ended.
  [[nodiscard]] bool needs_mount() const;
  // Words of `o` that are attributes of each bind of it: ro, nosuid, nodev, noexec, …
  [[nodiscard]] std::vector<std::string> attributes() const;
};
void describe(auto& field, Volume& v) {
  field("name", v.name)("driver", v.driver)("mountpoint", v.mountpoint)("labels", v.labels)(
      "options", v.options)("created", v.created)("anonymous", v.anonymous);
}

// What an empty volume is to be filled with.
struct VolumeFill {
  std::string name;
  std::string subpath;  // a directory of the volume, or ""
  std::string image_id;
  std::string path;     // of the image; one that it has not, or that is no directory, gives nothing
  bool in_use = false;  // a container has it mounted: the directory may not be another one then
};

struct Damaged {
  std::string path, reason;
};

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
  // Of each image, by id: bytes (unpacked) of layers that other images have too (SharedSize).
  [[nodiscard]] virtual std::map<std::string, std::int64_t> shared_sizes() const = 0;
  // Bytes (unpacked) of all layers that images have, each once (LayersSize of system df).
  [[nodiscard]] virtual std::int64_t layers_size() const = 0;
  virtual Task<> tag(std::string image_id, Reference to) = 0;
  struct Removed {
    std::vector<std::string> untagged, deleted;
  };
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
  // Are these credentials good at their server_address ("": the default registry)? Nothing is kept.
  //   errors  unauthorized, in the registry's words
  virtual Task<> login(RegistryAuth auth) = 0;
  // Reads docker-archive or OCI layout, plain or compressed, from a pipe until its end.
  // Progress: stream "Loaded image: x:1\n".
  virtual Task<std::vector<Image>> load(UniqueFd from, ProgressSink progress) = 0;
  // A tar (any compression) becomes a one-layer image.   changes  Dockerfile instructions (CMD,
  // ENV, …)
  struct ImportOptions {
    std::optional<Reference> tag;
    std::string message;
    std::vector<std::string> changes;
    Platform platform;
  };
  virtual Task<Image> import(UniqueFd from, ImportOptions options) = 0;
  // Writes a tar that is OCI layout and docker-archive in one; ends by closing `to`.
  virtual Task<> save(std::vector<std::string> names, UniqueFd to) = 0;

  // -- writable layers, by an id of the caller's (the container's)
  virtual Task<> create_layer(std::string id, std::string image_id) = 0;
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
  // Image id that a layer was made from. errors: not_found
  [[nodiscard]] virtual Result<std::string> image_of_layer(const std::string& id) const = 0;

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
  // A layer's upper directory's entry of `path` in an image's file system, read-only and without
  // mounting: the file's text, for /etc/passwd and the like. errors: not_found
  virtual Task<std::string> read_image_file(std::string image_id, std::string path,
                                            std::size_t limit) = 0;

  // Ends background work (unlinking goes on at the next start).
  virtual Coro<void> close() = 0;
};

}  // namespace coracle::storage
