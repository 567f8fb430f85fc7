#include "storage/check.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>
#include <utility>

#include "engine/base/defer.hpp"
#include "engine/base/file.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/base/tree/trash_dir.hpp"
#include "storage/content/digest.hpp"
#include "storage/images/manifest.hpp"
#include "storage/images/store.hpp"
#include "storage/snapshots/layer_store.hpp"
#include "storage/snapshots/same_tree.hpp"
#include "storage/snapshots/writable_layers.hpp"
#include "storage/volumes/store.hpp"

namespace coracle::storage {
namespace {

constexpr std::int64_t kSmallBlob = std::int64_t{1} << 20;
constexpr const char* kAgain = "pull or load the image again";

Result<std::string> hash_of(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return sys_error("open {}", path);
  Sha256 hash;
  std::string piece(std::size_t{1} << 20, '\0');
  for (;;) {
    TRY(const auto n, read_some(fd, piece));
    if (n == 0) break;
    hash.update({piece.data(), n});
  }
  return hash.finish();
}

std::int64_t size_of(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

bool is_dir(const std::string& path) {
  struct stat st {};
  return ::lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

class Checker {
 public:
  explicit Checker(const CheckOptions& options) : o_(options) {}

  Result<Checked> run() {
    CHECK(blobs());
    CHECK(layers());
    CHECK(writable_layers());
    if (o_.deep && o_.in_namespaces) CHECK(directories());
    CHECK(images());
    unneeded_layers();
    CHECK(volumes());
    CHECK(left_overs());
    return Checked{std::move(findings_), std::move(lost_)};
  }

 private:
  [[nodiscard]] std::string in(const std::string& rest) const { return o_.root + "/" + rest; }
  [[nodiscard]] std::string in_volume(const std::string& rest) const {
    return o_.volumes + "/" + rest;
  }

  // A folder that is not there is empty: no daemon has run yet.
  [[nodiscard]] Result<std::vector<std::string>> names_in(const std::string& folder) const {
    return names_of(in(folder));
  }
  [[nodiscard]] static Result<std::vector<std::string>> names_of(const std::string& path) {
    auto names = list_dir(path);
    if (!names && names.error().code == Errc::not_found) return std::vector<std::string>{};
    return names;
  }

  Finding& found(const char* kind, std::string object, std::string reason, std::string remedy) {
    findings_.push_back({kind, std::move(object), std::move(reason), std::move(remedy)});
    return findings_.back();
  }

  void set_aside(Finding& finding, const std::string& path, const std::string& name) {
    if (!o_.repair) return;
    auto moved = move_aside(path, o_.aside, finding.kind, name);
    if (moved) {
      finding.mended = "moved to " + *moved;
    } else {
      finding.reason += "; not mended: " + moved.error().message;
    }
  }

  Result<> blobs() {
    TRY(const auto names, names_in("blobs/sha256"));
    for (const auto& hex : names) {
      const auto path = in("blobs/sha256/" + hex);
      const auto size = size_of(path);
      if (!is_hex_id(hex) || size < 0) {
        auto& f = found("blob", hex, "it is no blob's name", "coracle check --repair");
        set_aside(f, path, hex);
        continue;
      }
      if (o_.deep || size <= kSmallBlob) {
        const auto hash = hash_of(path);
        if (!hash || hex_of(*hash) != hex) {
          // Removed while we looked.
          if (!hash && o_.running && hash.error().code == Errc::not_found) continue;
          auto& f =
              found("blob", digest_of_hex(hex),
                    hash ? "its bytes are not those of its digest" : hash.error().message, kAgain);
          set_aside(f, path, hex);
          continue;
        }
      }
      blobs_[digest_of_hex(hex)] = size;
    }
    return {};
  }

  // Why the layer cannot be used; "" when it can.
  [[nodiscard]] Result<LayerInfo> read_layer(const std::string& hex) const {
    TRY(const auto text, read_file(in("layers/" + hex + "/layer.json")));
    auto info = json::from_text<LayerInfo>(text);
    if (!info) return std::unexpected(info.error().within("layer.json"));
    if (info->chain_id != digest_of_hex(hex))
      return fail(Errc::invalid_argument, "layer.json speaks of {}", info->chain_id);
    if (chain_id(info->parent, info->diff_id) != info->chain_id)
      return fail(Errc::invalid_argument, "its parent and diff id do not give its chain id");
    if (!is_dir(in("layers/" + hex + "/diff")) && !blobs_.contains(info->blob))
      return fail(Errc::not_found, "its directory diff is missing, and so is its blob");
    return *std::move(info);
  }

  Result<> layers() {
    TRY(const auto names, names_in("layers"));
    for (const auto& hex : names) {
      auto info = read_layer(hex);
      if (!info && o_.running && !is_dir(in("layers/" + hex))) continue;
      if (!info) {
        auto& f = found("layer", digest_of_hex(hex), info.error().message, kAgain);
        set_aside(f, in("layers/" + hex), hex);
        continue;
      }
      if (!o_.running && !is_dir(in("layers/" + hex + "/diff")))
        found("layer", digest_of_hex(hex), "it is not unpacked", "the next start unpacks its blob")
            .note = true;
      layers_[info->chain_id] = *std::move(info);
    }
    orphans();
    return {};
  }

  // What a layer's blob is unpacked to, beside what it was unpacked to.
  Result<> directories() {
    for (const auto& [id, info] : layers_) {
      const auto kept = in("layers/" + hex_of(id) + "/diff");
      if (!is_dir(kept) || !bad_blob_of(info).empty()) continue;
      const auto differs = difference_from_blob(kept, info);
      if (!differs && o_.running && !is_dir(kept)) continue;
      if (differs && differs->empty()) continue;
      const bool used = in_use_.contains(id);
      auto& f =
          found("layer", id,
                differs ? "its directory is not what its blob holds: " + *differs
                        : differs.error().message,
                used ? "containers stand on it; remove them, then coracle check --deep --repair"
                     : "coracle check --deep --repair: it is unpacked again");
      if (!used && differs) set_aside(f, kept, hex_of(id) + "-diff");
    }
    return {};
  }

  [[nodiscard]] Result<std::string> difference_from_blob(const std::string& kept,
                                                         const LayerInfo& info) const {
    const auto place = in("tmp/check-" + random_id());
    CHECK(make_dirs(place, 0755));
    const Defer gone([&place] { (void)remove_tree(place); });
    if (::chmod(place.c_str(), 0755) != 0) return sys_error("set the mode of {}", place);
    TRY(const auto fresh, open_dir(place));
    const UniqueFd blob(
        ::open(in("blobs/sha256/" + hex_of(info.blob)).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!blob) return sys_error("open blob {}", info.blob);
    const std::atomic<bool> stop = false;
    CHECK(unpack_blob(blob, info, fresh, o_.one_id, stop));
    TRY(const auto there, open_dir(kept));
    return difference(there, fresh);
  }

  // The layers that an image or a container names.
  [[nodiscard]] std::set<std::string> named_layers() const {
    std::set<std::string> out;
    for (const auto& hex : names_in("images").value_or(std::vector<std::string>{})) {
      const auto bytes = read_file(in("blobs/sha256/" + hex));
      const auto config = bytes ? parse_config(*bytes) : std::unexpected(bytes.error());
      if (!config) continue;
      for (const auto& chain : chain_ids(config->rootfs.diff_ids)) out.insert(chain);
    }
    for (const auto& id : names_in("containers").value_or(std::vector<std::string>{})) {
      const auto record = read_writable(id);
      if (record) out.insert(record->chain_ids.begin(), record->chain_ids.end());
    }
    return out;
  }

  // A layer stands on those below it. Until nothing changes: one that goes takes those above.
  void orphans() {
    std::optional<std::set<std::string>> named;
    for (bool again = true; again;) {
      again = false;
      for (const auto& [id, info] : layers_) {
        if (info.parent.empty() || layers_.contains(info.parent)) continue;
        auto& f = found("layer", id, "the layer below it, " + info.parent + ", is missing", kAgain);
        if (!named) named = named_layers();
        if (named->contains(id)) {
          set_aside(f, in("layers/" + hex_of(id)), hex_of(id));
        } else {
          // A pull was killed, whose upper layers were quicker.
          f.note = true;
          f.remedy = "the next start removes it";
        }
        layers_.erase(id);
        again = true;
        break;
      }
    }
  }

  [[nodiscard]] std::string bad_blob_of(const LayerInfo& info) const {
    const auto blob = blobs_.find(info.blob);
    if (blob == blobs_.end()) return "its blob " + info.blob + " is missing";
    if (info.blob_size > 0 && blob->second != info.blob_size)
      return fmt::format("its blob {} has {} bytes instead of {}", info.blob, blob->second,
                         info.blob_size);
    return "";
  }

  // The layer of a container's image that is not there; "" when all are.
  [[nodiscard]] std::string missing_below(const LayerRecord& record) const {
    for (const auto& chain : record.chain_ids) {
      if (!layers_.contains(chain)) return chain;
    }
    return "";
  }

  [[nodiscard]] Result<LayerRecord> read_writable(const std::string& id) const {
    const auto dir = "containers/" + id;
    TRY(const auto text, read_file(in(dir + "/layer.json")));
    auto record = json::from_text<LayerRecord>(text);
    if (!record) return std::unexpected(record.error().within("layer.json"));
    for (const char* part : {"upper", "work"}) {
      if (record->driver != "copy" && !is_dir(in(dir + "/" + part)))
        return fail(Errc::not_found, "its directory {} is missing", part);
    }
    if (record->driver == "copy" && !is_dir(in(dir + "/root")))
      return fail(Errc::not_found, "its directory root is missing");
    return *std::move(record);
  }

  Result<> writable_layers() {
    TRY(const auto names, names_in("containers"));
    for (const auto& id : names) {
      if (id.starts_with(".new-")) continue;  // left_overs()
      auto record = read_writable(id);
      if (!record && o_.running && !is_dir(in("containers/" + id))) continue;
      if (record) {
        for (const auto& chain : record->chain_ids) in_use_.insert(chain);
        // Whole in itself: it can be used again once the layer is back.
        if (const auto missing = missing_below(*record); !missing.empty())
          found("writable-layer", id, "the layer " + missing + " below it is missing",
                std::string(kAgain) + ", or docker rm -f " + short_id(id));
        // "ID.image-N" is of an image that the container ID mounts.
        if (!o_.containers.contains(id.substr(0, id.find('.'))) && !o_.running)
          found("writable-layer", id, "no container has it", "the next start removes it").note =
              true;
        continue;
      }
      auto& f = found("writable-layer", id, record.error().message,
                      "docker rm -f " + short_id(id) + " and make the container again");
      set_aside(f, in("containers/" + id), id);
    }
    for (const auto& [id, volumes_of] : o_.containers) {
      if (!is_dir(in("containers/" + id)) && !o_.running)
        found("container", id, "its writable layer is missing",
              "docker rm -f " + short_id(id) + " and make the container again");
    }
    return {};
  }

  [[nodiscard]] Result<> check_image(const std::string& hex) const {
    TRY(const auto text, read_file(in("images/" + hex + "/image.json")));
    const auto record = json::from_text<ImageRecord>(text);
    if (!record) return std::unexpected(record.error().within("image.json"));
    if (record->id != digest_of_hex(hex))
      return fail(Errc::invalid_argument, "image.json speaks of {}", record->id);
    for (const auto& [what, blob] :
         {std::pair{"configuration", record->id}, std::pair{"manifest", record->manifest}}) {
      if (!blob.empty() && !blobs_.contains(blob))
        return fail(Errc::not_found, "its {} {} is missing", what, blob);
    }
    TRY(const auto bytes, read_file(in("blobs/sha256/" + hex)));
    const auto config = parse_config(bytes);
    if (!config) return std::unexpected(config.error().within("its configuration"));
    for (const auto& chain : chain_ids(config->rootfs.diff_ids)) {
      const auto layer = layers_.find(chain);
      if (layer == layers_.end()) return fail(Errc::not_found, "its layer {} is missing", chain);
      if (const auto why = bad_blob_of(layer->second); !why.empty())
        return fail(Errc::not_found, "of its layer {}: {}", chain, why);
    }
    return {};
  }

  // Where it came from, or was pushed to.
  [[nodiscard]] std::optional<LostImage> known_from(const std::string& hex) const {
    const auto text = read_file(in("images/" + hex + "/image.json"));
    const auto record = text ? json::from_text<ImageRecord>(*text) : std::unexpected(text.error());
    if (!record || record->digests.empty() || record->id != digest_of_hex(hex)) return std::nullopt;
    LostImage lost{record->id, record->manifest, {}, record->digests};
    for (const auto& n : record->names) lost.names.push_back(n.name);
    return lost;
  }

  void keep_layers_of(const std::string& hex) {
    const auto bytes = read_file(in("blobs/sha256/" + hex));
    const auto config = bytes ? parse_config(*bytes) : std::unexpected(bytes.error());
    if (!config) return;
    for (const auto& chain : chain_ids(config->rootfs.diff_ids)) in_images_.insert(chain);
  }

  Result<> images() {
    TRY(const auto names, names_in("images"));
    for (const auto& hex : names) {
      if (!exists(in("images/" + hex + "/image.json"))) {
        if (!o_.running)
          found("left-over", "images/" + hex, "it was never finished", "the next start removes it")
              .note = true;
        continue;
      }
      const auto fine = check_image(hex);
      if (fine) {
        keep_layers_of(hex);
        continue;
      }
      if (o_.running && !is_dir(in("images/" + hex))) continue;
      auto& f = found("image", digest_of_hex(hex), fine.error().message, kAgain);
      auto known = o_.will_pull ? known_from(hex) : std::nullopt;
      if (known)
        lost_.push_back(*std::move(known));
      else
        set_aside(f, in("images/" + hex), hex);
    }
    return {};
  }

  // What lost its blob can still be run, not saved or pushed. It goes when nothing stands on it, so
  // that the next pull brings all of it.
  void unneeded_layers() {
    std::vector<std::string> gone;
    for (const auto& [id, info] : layers_) {
      const auto why = bad_blob_of(info);
      if (why.empty()) continue;
      const bool used = in_use_.contains(id);
      auto& f =
          found("layer", id, why,
                used ? "containers go on with it; remove them, then pull the image again" : kAgain);
      if (used || in_images_.contains(id)) continue;
      set_aside(f, in("layers/" + hex_of(id)), hex_of(id));
      if (!f.mended.empty()) gone.push_back(id);
    }
    for (const auto& id : gone) layers_.erase(id);
    if (!gone.empty()) orphans();
  }

  Result<> write_volume(const std::string& name) const {
    VolumeRecord record;
    record.volume.name = name;
    record.volume.created = now();
    CHECK(make_dirs(in_volume(name)));
    if (!is_dir(in_volume(name + "/_data"))) CHECK(make_dirs(in_volume(name + "/_data"), 0755));
    return write_file_atomic(in_volume(name + "/volume.json"), json::to_text(record));
  }

  void mend_volume(Finding& finding, const std::string& name, bool record_is_there) {
    if (!o_.repair) return;
    std::string done = "made anew with what its _data holds";
    if (record_is_there) {
      auto moved = move_aside(in_volume(name + "/volume.json"), o_.aside, "volume.json", name);
      if (moved) done += "; the old record was moved to " + *moved;
    }
    const auto written = write_volume(name);
    if (written) {
      finding.mended = done;
    } else {
      finding.reason += "; not mended: " + written.error().message;
    }
  }

  Result<> volumes() {
    TRY(const auto names, names_of(o_.volumes));
    std::set<std::string> known;
    for (const auto& name : names) {
      if (name.starts_with(".new-")) continue;
      known.insert(name);
      const auto text = read_file(in_volume(name + "/volume.json"));
      const auto record = text ? json::from_text<VolumeRecord>(*text)
                               : Result<VolumeRecord>(std::unexpected(text.error()));
      if (!record) {
        if (o_.running && !is_dir(in_volume(name))) continue;
        auto& f = found("volume", name, "volume.json: " + record.error().message,
                        "coracle check --repair writes it anew; the data stays");
        mend_volume(f, name, text.has_value());
      } else if (record->volume.options.empty() && !is_dir(in_volume(name + "/_data"))) {
        auto& f = found("volume", name, "its data directory is missing",
                        "coracle check --repair makes an empty one");
        if (o_.repair && make_dirs(in_volume(name + "/_data"), 0755))
          f.mended = "an empty one was made";
      }
    }
    std::set<std::string> told;
    for (const auto& [id, wanted] : o_.containers) {
      for (const auto& name : wanted) {
        if (known.contains(name) || !told.insert(name).second) continue;
        auto& f = found("volume", name, "it is missing, and container " + short_id(id) + " uses it",
                        "docker volume create " + name);
        mend_volume(f, name, false);
      }
    }
    return {};
  }

  // What a kill leaves; a daemon takes it away when it starts.
  Result<> left_overs() {
    if (o_.running) return {};
    std::size_t trash = 0;
    for (const auto& [folder, prefix] :
         {std::pair{"tmp", ""}, std::pair{"trash", ""}, std::pair{"containers", ".new-"},
          std::pair{"volumes", ".new-"}}) {
      TRY(const auto names,
          std::string_view(folder) == "volumes" ? names_of(o_.volumes) : names_in(folder));
      for (const auto& name : names) {
        if (!name.starts_with(prefix)) continue;
        if (std::string_view(folder) == "trash") {
          if (tries_of(name) >= kMostTries) {
            found("left-over", "trash/" + name, "it could not be removed, and is left alone",
                  "remove " + in("trash/" + name) + " by hand")
                .note = true;
            continue;
          }
          ++trash;
          continue;
        }
        found("left-over", std::string(folder) + "/" + name, "it was never finished",
              "the next start removes it")
            .note = true;
      }
    }
    if (trash != 0)
      found("left-over", "trash", fmt::format("{} removed objects are not unlinked yet", trash),
            "the next start unlinks them")
          .note = true;
    return {};
  }

  const CheckOptions& o_;
  std::vector<Finding> findings_;
  std::vector<LostImage> lost_;
  std::map<std::string, std::int64_t> blobs_;  // good ones: digest -> size
  std::map<std::string, LayerInfo> layers_;    // usable ones
  std::set<std::string> in_use_, in_images_;   // chain ids of containers, of good images
};

}  // namespace

Result<std::string> move_aside(const std::string& path, const std::string& aside,
                               const std::string& kind, const std::string& name) {
  CHECK(make_dirs(aside));
  const auto to = fmt::format("{}/{}-{}.{}", aside, kind, name, random_id().substr(0, 8));
  if (::rename(path.c_str(), to.c_str()) != 0) return sys_error("move {} to {}", path, aside);
  return to;
}

Result<Checked> check(const CheckOptions& options) {
  auto all = options;
  if (all.volumes.empty()) all.volumes = all.root + "/volumes";
  return Checker(all).run();
}

}  // namespace coracle::storage
