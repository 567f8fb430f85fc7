// The class behind the face: builds the stores and wires them.
//
// Below Config.root, mode 0700:
//   blobs/sha256/HEX         as received: layers, manifests, configurations (blob_store)
//   layers/HEX/              a layer by chain id: diff/, layer.json (layer_store)
//   images/HEX/image.json    an image by id: names, digests, manifest (image_store)
//   containers/ID/           a writable layer (writable_layers)
//   volumes/NAME/            volume.json, _data/ (volume_store)
//   tmp/                     what is being written; thrown away at start
//   trash/                   what was removed and is not unlinked yet (trash)
//   lock                     flock(2): one daemon a store
// Nothing spans two of these objects: each is written whole under its name, and refers to others by
// digest. What nothing reaches is swept (gc).
#include "storage/storage.hpp"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <set>
#include <utility>

#include "engine/base/async/own_thread.hpp"
#include "engine/base/at.hpp"
#include "engine/base/file.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "engine/base/room.hpp"
#include "storage/archive/peer_stream.hpp"
#include "storage/content/blob_store.hpp"
#include "storage/content/pins.hpp"
#include "storage/content/trash.hpp"
#include "storage/images/commit.hpp"
#include "storage/images/gc.hpp"
#include "storage/images/import.hpp"
#include "storage/images/load.hpp"
#include "storage/images/reference.hpp"
#include "storage/images/save.hpp"
#include "storage/images/store.hpp"
#include "storage/registry/registry.hpp"
#include "storage/registry/remote_file.hpp"
#include "storage/snapshots/diff.hpp"
#include "storage/snapshots/layer_store.hpp"
#include "storage/snapshots/snapshot.hpp"
#include "storage/snapshots/tar_tree.hpp"
#include "storage/snapshots/writable_layers.hpp"
#include "storage/volumes/store.hpp"

namespace coracle::storage {
namespace {

class Store final : public Storage {
 public:
  Store(asio::io_context& io, Workers& workers, Config config, DriverChoice choice, UniqueFd lock)
      : io_(io),
        workers_(workers),
        config_(std::move(config)),
        lock_(std::move(lock)),
        choice_(std::move(choice)),
        trash_(io, workers, config_.root + "/trash"),
        blobs_(config_.root, trash_),
        layers_(config_.root, config_.one_id, blobs_, trash_, pins_),
        images_(config_.root, blobs_, layers_, trash_),
        writable_(workers, trash_, choice_.driver, config_.root + "/containers",
                  config_.root + "/layers"),
        volumes_(io, workers, trash_, config_.volumes),
        registry_(io, workers,
                  RegistryConfig{config_.mirrors, config_.insecure_registries,
                                 config_.certificate_folders, config_.policy},
                  blobs_, layers_, images_, [this] { return sweep_and_tell(); }),
        sweeping_(io),
        unpacking_(io),
        scope_(io) {}

  Result<> load_all() {
    CHECK(make_dirs(config_.root + "/tmp"));
    TRY(const auto unfinished, list_dir(config_.root + "/tmp"));
    for (const auto& name : unfinished) CHECK(trash_.take(config_.root + "/tmp/" + name));
    CHECK(blobs_.prepare());
    CHECK(layers_.open(damaged_));
    CHECK(images_.open(damaged_));
    TRY(const auto layers, writable_.load());
    TRY(const auto volumes, volumes_.load());
    containers_known_ = layers.empty();
    damaged_.insert(damaged_.end(), layers.begin(), layers.end());
    damaged_.insert(damaged_.end(), volumes.begin(), volumes.end());
    for (const auto& d : damaged_)
      log::warn("damaged object left out path={} reason={}", d.path, d.reason);
    scope_.start("sweep the store", sweep_and_tell());
    if (auto placed = layers_.blob_only(); !placed.empty())
      scope_.start("unpack layers", unpack_later(std::move(placed)));
    return {};
  }

  // ---- told at once

  [[nodiscard]] std::string driver() const override { return choice_.driver->name(); }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> driver_status() const override {
    return choice_.status;
  }
  [[nodiscard]] std::vector<Damaged> damaged() const override { return damaged_; }
  [[nodiscard]] std::vector<Image> images() const override { return images_.images(); }
  [[nodiscard]] Result<Image> find(const std::string& name) const override {
    return images_.find(name);
  }
  [[nodiscard]] Result<MountPlan> mount_plan(const std::string& id) const override {
    return writable_.plan(id);
  }
  [[nodiscard]] std::vector<std::string> layers() const override { return writable_.ids(); }
  [[nodiscard]] std::vector<Volume> volumes() const override { return volumes_.list(); }
  [[nodiscard]] Result<Volume> find_volume(const std::string& name) const override {
    return volumes_.find(name);
  }

  // ---- images

  Task<> tag(std::string image_id, Reference to) override {
    auto job = [this, image_id = std::move(image_id), to = std::move(to)] {
      return images_.tag(image_id, to);
    };
    co_return co_await workers_.run(std::move(job));
  }

  Task<Removed> remove(std::string name, bool force, bool keep) override {
    auto job = [this, name = std::move(name), force, keep] {
      return images_.remove(name, force, keep);
    };
    CO_TRY(auto removed, co_await workers_.run(std::move(job)));
    if (!removed.deleted.empty()) {
      const auto swept = co_await sweep_now();
      if (swept) {
        removed.deleted.insert(removed.deleted.end(), swept->layers.begin(), swept->layers.end());
      } else {
        log::warn("store not swept reason={}", swept.error().message);
      }
      co_await trash_.make_room();
    }
    co_return removed;
  }

  Task<Image> pull(Reference ref, RegistryAuth auth, Platform platform,
                   ProgressSink progress) override {
    auto pulled = co_await registry_.pull(std::move(ref), std::move(auth), std::move(platform),
                                          std::move(progress));
    trash_.empty();  // layers that another pull had first, or that came to nothing
    co_return pulled;
  }
  Task<> pull_all(Reference repository, RegistryAuth auth, Platform platform,
                  ProgressSink progress) override {
    auto pulled = co_await registry_.pull_all(std::move(repository), std::move(auth),
                                              std::move(platform), std::move(progress));
    trash_.empty();
    co_return pulled;
  }
  Task<> push(Reference name, RegistryAuth auth, ProgressSink progress) override {
    return registry_.push(std::move(name), std::move(auth), std::move(progress));
  }
  Task<RemoteImage> look_up(Reference ref, RegistryAuth auth) override {
    return registry_.look_up(std::move(ref), std::move(auth));
  }
  Task<std::vector<SearchResult>> search(std::string term, int limit, RegistryAuth auth) override {
    return registry_.search(std::move(term), limit, std::move(auth));
  }
  Task<std::string> login(RegistryAuth auth) override { return registry_.login(std::move(auth)); }

  Task<std::vector<Image>> load(UniqueFd from, std::optional<Platform> wanted,
                                ProgressSink progress) override {
    const auto told = on_loop(std::move(progress));
    auto job = [this, from = std::move(from), wanted = std::move(wanted),
                told](const StopFlag& stop) mutable -> Result<std::vector<Image>> {
      const UniqueFd own = std::move(from);
      PeerSource source(own, stop);
      return load_images(source, stores(), stop, told, wanted);
    };
    ThreadOwner owner(Lane::peers, "load");
    auto loaded = co_await run_on_thread(io_, std::move(job), std::move(owner));
    trash_.empty();  // staged layers that were there already, or came to nothing
    co_return loaded;
  }

  Task<Image> import(UniqueFd from, ImportOptions options) override {
    auto job = [this, from = std::move(from),
                options = std::move(options)](const StopFlag& stop) mutable -> Result<Image> {
      const UniqueFd own = std::move(from);
      PeerSource source(own, stop);
      return import_image(source, options, stores(), stop);
    };
    ThreadOwner owner(Lane::peers, "import");
    auto imported = co_await run_on_thread(io_, std::move(job), std::move(owner));
    trash_.empty();
    co_return imported;
  }

  Task<Image> import_remote(ImportOptions options, ProgressSink progress) override {
    CO_TRY(auto url, remote_file_url(options.source));
    RemoteFileUse use = [this, options = std::move(options)](ByteSource& source,
                                                             const StopFlag& stop) {
      return import_image(source, options, stores(), stop);
    };
    auto imported = co_await use_remote_file(io_, registry_.transfer(), std::move(url),
                                             std::move(use), std::move(progress));
    trash_.empty();
    co_return imported;
  }

  Task<> save(std::vector<std::string> names, UniqueFd to) override {
    auto job = [this, names = std::move(names),
                to = std::move(to)](const StopFlag& stop) mutable -> Result<> {
      const UniqueFd own = std::move(to);
      return save_images(names, stores(), own, stop);
    };
    ThreadOwner owner{Lane::peers, "save"};
    co_return co_await run_on_thread(io_, std::move(job), std::move(owner));
  }

  // ---- writable layers

  Task<> create_layer(std::string id, std::string image_id) override {
    CO_TRY(const auto image, images_.by_id(image_id));
    auto pin = pin_image(image);  // until the writable layer holds them itself
    CO_CHECK(co_await have_unpacked(chain_ids(image.diff_ids)));
    CO_TRY(const auto stack, layers_.diff_paths(image.diff_ids));
    auto chain = chain_ids(image.diff_ids);
    const std::vector<std::string> topmost_first(chain.rbegin(), chain.rend());
    auto made = co_await writable_.create(id, image.id, topmost_first);
    if (made || !is_no_room(made.error())) co_return made;
    const bool freed = co_await trash_.emptied();
    if (!freed) co_return made;
    co_return co_await writable_.create(std::move(id), image.id, topmost_first);
  }

  Result<> sync_layers(const std::vector<std::string>& ids) const override {
    return writable_.sync(ids);
  }

  Task<LayerUsage> layer_usage(std::string id, std::string version) override {
    if (const auto known = usages_.find(id);
        known != usages_.end() && !version.empty() && known->second.first == version)
      co_return known->second.second;
    CO_TRY(auto source, writable_.diff_source(id));
    auto job = [source = std::move(source)](const StopFlag& stop) {
      return usage_of(source, &stop);
    };
    ThreadOwner owner{Lane::trees, id};
    CO_TRY(const auto usage, co_await run_on_thread(io_, std::move(job), std::move(owner)));
    if (!version.empty() && writable_.image_of(id)) usages_[id] = {std::move(version), usage};
    co_return usage;
  }
  void layer_changed(const std::string& id) override { usages_.erase(id); }

  Task<std::vector<Change>> changes(std::string id) override {
    CO_TRY(auto source, writable_.diff_source(id));
    auto job = [source = std::move(source)](const StopFlag& stop) {
      return changes_of(source, &stop);
    };
    ThreadOwner owner{Lane::trees, std::move(id)};
    co_return co_await run_on_thread(io_, std::move(job), std::move(owner));
  }

  Task<> export_layer(std::string id, UniqueFd to) override {
    CO_TRY(auto stack, writable_.stack(id));
    CO_TRY(const auto source, writable_.diff_source(id));
    auto job = [stack = std::move(stack), named = source.named_whiteouts,
                to = std::move(to)](const StopFlag& stop) mutable -> Result<> {
      const UniqueFd own = std::move(to);
      TRY(auto sink, peer_sink(own, stop));
      TRY(const auto root, open_merged(stack));
      return write_merged(root, named, std::move(sink), &stop);
    };
    ThreadOwner owner{Lane::peers, std::move(id)};
    co_return co_await run_on_thread(io_, std::move(job), std::move(owner));
  }

  Task<Image> commit(std::string id, CommitOptions options) override {
    CO_TRY(auto source, writable_.diff_source(id));
    CO_TRY(const auto image_id, writable_.image_of(id));
    CO_TRY(const auto image, images_.by_id(image_id));
    auto pin = pin_image(image);
    auto job = [this, source = std::move(source), image_id,
                options = std::move(options)](const StopFlag& stop) {
      return commit_image(source, image_id, options, stores(), stop);
    };
    ThreadOwner owner{Lane::trees, std::move(id)};
    auto committed = co_await run_on_thread(io_, std::move(job), std::move(owner));
    if (committed) scope_.start("unpack layers", unpack_later(chain_ids(committed->diff_ids)));
    co_return committed;
  }

  Task<> remove_layer(std::string id) override {
    usages_.erase(id);
    CO_TRY(const auto image_id, known_image_of(id));
    CO_CHECK(co_await writable_.remove(std::move(id)));
    // It was the last that held an image which has been removed by force.
    if (!image_id.empty() && !images_.by_id(image_id)) {
      if (const auto swept = co_await sweep_now(); !swept)
        log::warn("store not swept reason={}", swept.error().message);
    }
    co_await trash_.make_room();
    co_return Result<>{};
  }

  // ---- volumes

  Task<Volume> create_volume(std::string name, std::map<std::string, std::string> labels,
                             std::map<std::string, std::string> options) override {
    return volumes_.create(std::move(name), std::move(labels), std::move(options));
  }
  Task<> remove_volume(std::string name) override {
    CO_CHECK(co_await volumes_.remove(std::move(name)));
    co_await trash_.make_room();
    co_return Result<>{};
  }
  Task<> fill_volume(VolumeFill what) override {
    CO_TRY(const auto image, images_.by_id(what.image_id));
    auto pin = pin_image(image);
    CO_CHECK(co_await have_unpacked(chain_ids(image.diff_ids)));
    CO_TRY(auto stack, layers_.diff_paths(image.diff_ids));
    co_return co_await volumes_.fill(std::move(what), std::move(stack));
  }
  Task<> mount_volume(std::string name) override { return volumes_.mount(std::move(name)); }
  Task<> unmount_volume(std::string name) override { return volumes_.unmount(std::move(name)); }
  [[nodiscard]] std::vector<std::string> mounted_volumes() const override {
    return volumes_.mounted();
  }

  Coro<void> close() override {
    stopping_ = true;
    co_await scope_.close();
    co_await trash_.close();
  }

 private:
  [[nodiscard]] Stores stores() { return {blobs_, layers_, images_}; }

  [[nodiscard]] Pin pin_image(const Image& image) {
    auto keys = chain_ids(image.diff_ids);
    keys.push_back(image.id);
    return pins_.take(keys);
  }

  // A sink for worker threads; lines come to the caller's in order, before the result does.
  std::function<void(const std::string&)> on_loop(ProgressSink sink) {
    return [this, sink = std::move(sink)](const std::string& text) {
      if (!sink) return;
      asio::post(io_, [sink, text] {
        Progress progress;
        progress.stream = text;
        sink(progress);
      });
    };
  }

  // "" when there is no such layer.
  [[nodiscard]] Result<std::string> known_image_of(const std::string& id) const {
    auto image = writable_.image_of(id);
    if (!image && image.error().code == Errc::not_found) return "";
    return image;
  }

  // ---- layers that are there as blobs alone

  // Waits until they have their directories. By chain id.
  Task<> have_unpacked(std::vector<std::string> chain) {
    for (const auto& id : chain) {
      if (!layers_.is_blob_only(id)) continue;
      const auto lock = co_await unpacking_.lock();
      auto job = [this, id] { return layers_.unpack_blob_only(id, stopping_); };
      const auto done = co_await workers_.run(std::move(job));
      trash_.empty();
      if (!done) co_return std::unexpected(done.error());
    }
    co_return Result<>{};
  }

  Coro<void> unpack_later(std::vector<std::string> chain) {
    const auto done = co_await have_unpacked(std::move(chain));
    if (done || stopping_ || done.error().code == Errc::not_found) co_return;
    // Whoever needs it tries again, and is told.
    log::warn("layer not unpacked reason={}", done.error().message);
  }

  // ---- gc

  Task<Swept> sweep_now() {
    const auto lock = co_await sweeping_.lock();
    if (!containers_known_) co_return Swept{};
    pins_.begin_sweep();  // before the roots are read
    std::set<std::string> roots;
    for (auto& key : images_.reachable()) roots.insert(std::move(key));
    for (auto& key : writable_.chain_ids_in_use()) roots.insert(std::move(key));
    for (auto& key : writable_.image_ids_in_use()) roots.insert(std::move(key));
    auto job = [this, roots = std::move(roots)]() -> Result<Swept> {
      TRY(const bool known, images_.all_known());
      if (!known) return Swept{};
      TRY(const auto blobs, blobs_.list());
      return sweep(unreachable(roots, layers_.list(), blobs), layers_, blobs_, pins_);
    };
    co_return co_await workers_.run(std::move(job));
  }

  Coro<void> sweep_and_tell() {
    const auto swept = co_await sweep_now();
    if (!swept) {
      log::warn("store not swept reason={}", swept.error().message);
    } else if (!swept->layers.empty() || !swept->blobs.empty()) {
      log::info("store swept layers={} blobs={}", swept->layers.size(), swept->blobs.size());
    }
    trash_.empty();
  }

  asio::io_context& io_;
  Workers& workers_;
  Config config_;
  UniqueFd lock_;
  DriverChoice choice_;
  Trash trash_;
  Pins pins_;
  BlobStore blobs_;
  LayerStore layers_;
  ImageStore images_;
  WritableLayers writable_;
  VolumeStore volumes_;
  Registry registry_;
  std::vector<Damaged> damaged_;
  std::map<std::string, std::pair<std::string, LayerUsage>>
      usages_;                    // of idle layers: version, size
  bool containers_known_ = true;  // no writable layer is damaged: their roots are all known
  AsyncMutex sweeping_, unpacking_;
  std::atomic<bool> stopping_ = false;
  Scope scope_;
};

Result<UniqueFd> take_lock(const std::string& root) {
  UniqueFd fd(::open((root + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return sys_error("open {}/lock", root);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return sys_error("lock {}", root);
  return fail(Errc::conflict,
              "open the store {}: another coracled uses it; stop that one or set another data-root",
              root);
}

// Until coracle 0.1 volumes lay below the store's root. Containers that run keep theirs: a mount does
// not mind.
Result<> move_volumes(const std::string& from, const std::string& to) {
  if (from == to || !exists(from)) return {};
  CHECK(make_dirs(to));
  TRY(const auto names, list_dir(from));
  for (const auto& name : names) {
    const auto target = join_path(to, name);
    if (!exists(target) && ::rename(join_path(from, name).c_str(), target.c_str()) != 0)
      return sys_error("move the volume {} to {}", name, to);
  }
  if (::rmdir(from.c_str()) != 0 && errno != ENOTEMPTY) return sys_error("remove {}", from);
  return sync_dir(to);
}

}  // namespace

Result<std::unique_ptr<Storage>> Storage::open(asio::io_context& io, Workers& workers,
                                               Config config) {
  CHECK(make_dirs(config.root, 0700));
  if (::chmod(config.root.c_str(), 0700) != 0) return sys_error("set the mode of {}", config.root);
  TRY(auto lock, take_lock(config.root));
  if (config.volumes.empty()) config.volumes = config.root + "/volumes";
  CHECK(move_volumes(config.root + "/volumes", config.volumes));
  TRY(auto choice, choose_driver(config.root, config.driver));
  auto store =
      std::make_unique<Store>(io, workers, std::move(config), std::move(choice), std::move(lock));
  if (auto done = store->load_all(); !done)
    return std::unexpected(done.error().within("open the store"));
  return store;
}

}  // namespace coracle::storage
