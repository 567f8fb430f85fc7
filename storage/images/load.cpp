// 1. read_archive: file by file. JSON is kept as text, a layer is staged (or passed over, when its
//    digest is in the store already), links are noted.
// 2. plan: manifest.json and index.json say which images there are: manifest, configuration, the
//    layers' files, names.
// 3. place: each image's layers are committed from the lowest up, then the image is added.
#include "storage/images/load.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "storage/archive/tar_reader.hpp"
#include "storage/images/reference.hpp"
#include "storage/unpacker/client.hpp"

namespace coracle::storage {
namespace {

constexpr std::int64_t kTextLimit = std::int64_t{16} << 20;  // one manifest or configuration
constexpr std::size_t kTextsLimit = std::size_t{128} << 20;  // all of them
// What else an archive may hold, and cost: far beyond what the largest ones have.
constexpr std::size_t kMostFiles = 200'000;
constexpr std::size_t kNamesLimit = std::size_t{32} << 20;    // bytes of their names
constexpr std::size_t kParsedLimit = std::size_t{256} << 20;  // bytes of JSON, each reading counted
constexpr std::size_t kMostImages = 10'000;
constexpr std::size_t kMostNames = 1'000;       // of one image
constexpr std::size_t kMostLoadedLayers = 500;  // of one image: what a mount takes

// An element of docker-archive's manifest.json.
struct ArchiveImage {
  std::string config;
  std::vector<std::string> repo_tags, layers;
};
void describe(auto& field, ArchiveImage& a) {
  field("Config", a.config)("RepoTags", a.repo_tags)("Layers", a.layers);
}

struct Planned {
  std::string manifest, manifest_type;  // "" for docker-archive: made from the layers
  std::string config;
  std::vector<std::string> layer_files;  // in the archive
  std::vector<Descriptor> layers;        // as the manifest has them; empty for docker-archive
  std::vector<Reference> names;
};

class Loader {
 public:
  Loader(Stores stores, const StopFlag& stop, const std::function<void(const std::string&)>& told,
         const std::optional<Platform>& wanted)
      : stores_(stores),
        stop_(stop),
        told_(told),
        wanted_(wanted),
        pin_(stores.layers.pins().take({})) {}

  Result<std::vector<Image>> run(ByteSource& source) {
    CHECK(read_archive(source));
    TRY(auto plan, make_plan());
    std::vector<Image> out;
    for (const auto& planned : plan) {
      TRY(const bool asked_for, is_wanted(planned));
      if (!asked_for) continue;
      TRY(auto image, place(planned));
      for (const auto& name : planned.names) told_("Loaded image: " + name.familiar() + "\n");
      if (planned.names.empty()) told_("Loaded image ID: " + image.id + "\n");
      out.push_back(std::move(image));
    }
    return out;
  }

 private:
  // ---- 1. the archive

  Result<> read_archive(ByteSource& source) {
    std::string head(16, '\0');
    TRY(const auto n, read_full(source, head));
    head.resize(n);
    const auto whole = joined(head, source);
    TRY(const auto tar, inflated_apart(*whole, compression_of(head)));
    StoppableSource plain(*tar, stop_);
    TarReader reader(plain);
    for (;;) {
      TRY(const auto* entry, reader.next());
      if (entry == nullptr) break;
      CHECK(count(*entry));
      const std::string name = clean_path("/" + entry->path).substr(1);
      if (!entry->hardlink.empty()) {
        links_[name] = clean_path("/" + entry->hardlink).substr(1);
      } else if (entry->type == S_IFLNK) {
        links_[name] = clean_path("/" + parent_path("/" + name) + "/" + entry->symlink).substr(1);
      } else if (entry->type == S_IFREG) {
        CHECK(read_file_entry(name, *entry, reader.data_source()));
      }
    }
    // To the end of both, so that what is damaged or cut behind the archive's end is an error, too,
    // and the sender sees no broken pipe.
    CHECK(drain(plain));
    return drain(*whole);
  }

  // Names and links are held until the end.
  Result<> count(const ArchiveEntry& entry) {
    names_size_ += entry.path.size() + entry.hardlink.size() + entry.symlink.size();
    if (++files_ > kMostFiles || names_size_ > kNamesLimit)
      return fail(Errc::invalid_argument, "load: more than {} files, or {} MiB of names",
                  kMostFiles, kNamesLimit >> 20);
    return {};
  }

  // Before JSON is read, or a long list: an archive may name one text many times.
  [[nodiscard]] Result<> spend(std::size_t bytes) const {
    CHECK(check_stop(stop_));
    parsed_ += bytes + 1024;
    if (parsed_ <= kParsedLimit) return {};
    return fail(Errc::invalid_argument, "load: its indexes name too many manifests");
  }

  Result<> read_file_entry(const std::string& name, const ArchiveEntry& entry, ByteSource& data) {
    const std::string digest = digest_of(name);
    pin_.add({digest});
    if (is_layer_blob(digest)) return {};
    std::array<char, 512> head{};
    TRY(const auto n, read_full(data, head));
    const std::string_view seen(head.data(), n);
    const auto whole = joined(seen, data);
    if (seen.starts_with('{') || seen.starts_with('[')) return read_text(name, entry, *whole);
    const bool tar = n == head.size() && (seen.substr(257, 5) == "ustar" ||
                                          seen.find_first_not_of('\0') == std::string_view::npos);
    if (!tar && compression_of(seen) == Compression::none) {
      log::debug("load: file passed over name={}", name);
      return {};
    }
    LayerRequest request;
    request.blob.digest = digest;
    request.stop = &stop_;
    auto staged = stores_.layers.stage(request, *whole);
    if (!staged) return std::unexpected(staged.error().within("{}", name));
    pin_.add({staged->info.blob});
    staged_.emplace(name, *std::move(staged));
    return {};
  }

  Result<> read_text(const std::string& name, const ArchiveEntry& entry, ByteSource& data) {
    texts_size_ += static_cast<std::size_t>(entry.size);
    if (entry.size > kTextLimit || texts_size_ > kTextsLimit) {
      return fail(Errc::invalid_argument,
                  "{}: {} bytes are too many for a manifest or configuration", name, entry.size);
    }
    std::string text(static_cast<std::size_t>(entry.size), '\0');
    TRY(const auto n, read_full(data, text));
    text.resize(n);
    if (const auto digest = digest_of(name); !digest.empty() && sha256_of(text) != digest)
      return fail(Errc::invalid_argument, "{}: its content has another digest", name);
    texts_[name] = std::move(text);
    return {};
  }

  // "blobs/sha256/HEX" -> the digest.
  static std::string digest_of(const std::string& name) {
    constexpr std::string_view kBlobs = "blobs/sha256/";
    if (!name.starts_with(kBlobs)) return "";
    auto digest = digest_of_hex(name.substr(kBlobs.size()));
    return is_digest(digest) ? digest : "";
  }

  // Is it a layer that the store has in full?
  [[nodiscard]] bool is_layer_blob(const std::string& digest) {
    if (digest.empty() || !stores_.blobs.has(digest)) return false;
    if (!listed_) {
      for (const auto& layer : stores_.layers.list()) known_.emplace(layer.blob, layer.diff_id);
      listed_ = true;
    }
    return known_.contains(digest);
  }

  // ---- 2. which images

  [[nodiscard]] std::string followed(std::string name) const {
    for (int i = 0; i < 8; ++i) {
      const auto link = links_.find(name);
      if (link == links_.end()) break;
      name = link->second;
    }
    return name;
  }

  [[nodiscard]] const std::string* text_of(const std::string& name) const {
    const auto found = texts_.find(followed(clean_path("/" + name).substr(1)));
    return found == texts_.end() ? nullptr : &found->second;
  }

  // Of the archive, or of the store.
  [[nodiscard]] Result<std::string> blob_text(const std::string& digest) const {
    if (const auto* text = text_of("blobs/sha256/" + hex_of(digest))) return *text;
    auto stored = stores_.blobs.read(digest);
    if (!stored) return fail(Errc::not_found, "{} is not in the archive", digest);
    return stored;
  }

  Result<std::vector<Planned>> make_plan() {
    std::vector<ArchiveImage> listed;
    const auto* manifest_json = text_of("manifest.json");
    if (manifest_json != nullptr) {
      auto parsed = json::from_text<std::vector<ArchiveImage>>(*manifest_json);
      if (!parsed) return std::unexpected(parsed.error().within("manifest.json"));
      listed = *std::move(parsed);
      CHECK(check_count("images", listed.size(), kMostImages));
    }
    if (const auto* index_json = text_of("index.json")) {
      auto plan = plan_layout(*index_json, listed);
      // Archives with both exist whose index names what they do not hold.
      if (plan || manifest_json == nullptr) return plan;
      log::debug("load: index.json not used reason={}", plan.error().message);
    }
    if (manifest_json == nullptr) {
      return fail(
          Errc::invalid_argument,
          "load: the archive has neither manifest.json nor index.json: no archive of images");
    }
    return plan_docker(listed);
  }

  Result<std::vector<Planned>> plan_docker(const std::vector<ArchiveImage>& listed) const {
    std::vector<Planned> out;
    for (const auto& image : listed) {
      CHECK(check_count("layers", image.layers.size(), kMostLoadedLayers));
      Planned planned;
      const auto* config = text_of(image.config);
      if (config == nullptr) {
        return fail(Errc::invalid_argument, "load: manifest.json names {}, which is not there",
                    image.config);
      }
      CHECK(spend(config->size()));
      planned.config = *config;
      for (const auto& layer : image.layers)
        planned.layer_files.push_back(followed(clean_path("/" + layer).substr(1)));
      CHECK(add_names(planned, image.repo_tags));
      out.push_back(std::move(planned));
    }
    return out;
  }

  static Result<> check_count(const char* of_what, std::size_t count, std::size_t most) {
    if (count <= most) return {};
    return fail(Errc::invalid_argument, "load: {} {}: more than {} are not taken", count, of_what,
                most);
  }

  static Result<> add_names(Planned& planned, const std::vector<std::string>& names) {
    CHECK(check_count("names of one image", planned.names.size() + names.size(), kMostNames));
    for (const auto& name : names) {
      auto reference = parse_reference(name, true);
      if (!reference) return std::unexpected(reference.error().within("load: {}", name));
      reference->digest.clear();
      // As Docker: the image comes without the name that nobody may give.
      if (!check_ambiguous(*reference)) continue;
      if (std::ranges::none_of(planned.names, [&](const Reference& r) {
            return canonical(r) == canonical(*reference);
          }))
        planned.names.push_back(*std::move(reference));
    }
    return {};
  }

  Result<std::vector<Planned>> plan_layout(const std::string& index_json,
                                           const std::vector<ArchiveImage>& listed) const {
    TRY(const auto parsed, parse_manifest(index_json));
    const auto* index = std::get_if<Index>(&parsed);
    if (index == nullptr) return fail(Errc::invalid_argument, "index.json: no index");
    CHECK(check_count("images", index->manifests.size(), kMostImages));
    std::vector<Planned> out;
    std::map<std::string, std::size_t> by_manifest;
    std::multimap<std::string, std::size_t> by_config;
    for (const auto& descriptor : index->manifests) {
      TRY(auto planned, plan_manifest(descriptor, 0));
      const auto [at, fresh] = by_manifest.emplace(sha256_of(planned.manifest), out.size());
      if (fresh) {
        by_config.emplace(sha256_of(planned.config), out.size());
        out.push_back(std::move(planned));
      }
      CHECK(add_names(out[at->second], names_in(descriptor)));
    }
    for (const auto& image : listed) {
      const auto* config = text_of(image.config);
      if (config == nullptr) continue;
      CHECK(spend(config->size()));
      const auto [first, last] = by_config.equal_range(sha256_of(*config));
      for (auto at = first; at != last; ++at) {
        CHECK(spend(0));
        CHECK(add_names(out[at->second], image.repo_tags));
      }
    }
    return out;
  }

  // containerd and docker write the whole name, others only a tag, which names nothing.
  static std::vector<std::string> names_in(const Descriptor& descriptor) {
    if (!descriptor.annotations) return {};
    const auto& notes = *descriptor.annotations;
    if (const auto whole = notes.find("io.containerd.image.name"); whole != notes.end())
      return {whole->second};
    const auto name = notes.find("org.opencontainers.image.ref.name");
    if (name == notes.end() || name->second.find_first_of(":/") == std::string::npos) return {};
    return {name->second};
  }

  [[nodiscard]] Result<Planned> plan_manifest(const Descriptor& descriptor, int depth) const {
    TRY(const auto text, blob_text(descriptor.digest));
    CHECK(spend(text.size()));
    TRY(const auto parsed, parse_manifest(text, descriptor.media_type));
    if (const auto* index = std::get_if<Index>(&parsed)) {
      if (depth > 3) return fail(Errc::invalid_argument, "indexes within indexes within indexes");
      return plan_index(*index, depth + 1);
    }
    const auto& manifest = std::get<Manifest>(parsed);
    CHECK(check_count("layers", manifest.layers.size(), kMostLoadedLayers));
    Planned planned;
    planned.manifest = text;
    planned.manifest_type = manifest.media_type;
    TRY(planned.config, blob_text(manifest.config.digest));
    CHECK(spend(planned.config.size()));
    planned.layers = manifest.layers;
    for (const auto& layer : manifest.layers)
      planned.layer_files.push_back(followed("blobs/sha256/" + hex_of(layer.digest)));
    return planned;
  }

  [[nodiscard]] Result<bool> is_wanted(const Planned& planned) const {
    if (!wanted_) return true;
    TRY(const auto config, parse_config(planned.config));
    return is_same({config.os, config.architecture, config.variant}, *wanted_);
  }

  // The platform that is wanted, or this host's; where the archive has not got it, the first one that it has.
  [[nodiscard]] Result<Planned> plan_index(const Index& index, int depth) const {
    Result<Planned> last = fail(Errc::not_found, "an index without manifests");
    if (const auto best = choose(index, resolve_platform(wanted_.value_or(Platform{})))) {
      last = plan_manifest(*best, depth);
      if (last) return last;
    }
    for (const auto& descriptor : index.manifests) {
      if (descriptor.platform && descriptor.platform->os == "unknown") continue;  // attestations
      if (auto other = plan_manifest(descriptor, depth)) return other;
    }
    return last;
  }

  // ---- 3. into the store

  Result<Image> place(const Planned& planned) {
    TRY(const auto config, parse_config(planned.config));
    const auto& diff_ids = config.rootfs.diff_ids;
    if (planned.layer_files.size() != diff_ids.size()) {
      return fail(Errc::invalid_argument, "load: {} layers, but the configuration has {}",
                  planned.layer_files.size(), diff_ids.size());
    }
    const auto chain = chain_ids(diff_ids);
    pin_.add(chain);
    std::vector<LayerInfo> infos;
    for (std::size_t i = 0; i < chain.size(); ++i) {
      const Descriptor* blob = planned.layers.empty() ? nullptr : &planned.layers[i];
      TRY(auto info,
          place_layer(planned.layer_files[i], diff_ids[i], i == 0 ? "" : chain[i - 1], blob));
      infos.push_back(std::move(info));
    }
    NewImage image;
    image.config = planned.config;
    image.manifest =
        planned.manifest.empty() ? manifest_for(planned.config, infos) : planned.manifest;
    image.manifest_type = planned.manifest.empty() ? media::kOciManifest : planned.manifest_type;
    image.names = planned.names;
    CHECK(check_stop(stop_));
    return stores_.images.add(image);
  }

  Result<LayerInfo> place_layer(const std::string& file, const std::string& diff_id,
                                const std::string& parent, const Descriptor* blob) {
    const auto found = staged_.find(file);
    if (found != staged_.end() && !found->second) {
      // Its one copy went to another image: once more, from the blob.
      return again(placed_blobs_.at(file), diff_id, parent);
    }
    if (found != staged_.end()) {
      auto staged = std::move(*std::exchange(found->second, std::nullopt));
      if (staged.info.diff_id != diff_id) {
        return fail(Errc::invalid_argument, "{}: unpacked it is {}, the image says {}", file,
                    staged.info.diff_id, diff_id);
      }
      if (blob != nullptr && !blob->media_type.empty()) staged.info.media_type = blob->media_type;
      placed_blobs_[file] = staged.info.blob;
      return stores_.layers.commit(std::move(staged), parent);
    }
    if (auto there = stores_.layers.find(chain_id(parent, diff_id))) return *std::move(there);
    if (blob == nullptr)
      return fail(Errc::invalid_argument, "load: {} is not in the archive", file);
    return again(blob->digest, diff_id, parent);
  }

  Result<LayerInfo> again(const std::string& blob, const std::string& diff_id,
                          const std::string& parent) {
    if (auto there = stores_.layers.find(chain_id(parent, diff_id))) return *std::move(there);
    TRY(const auto fd, stores_.blobs.open(blob));
    FdSource source(fd);
    LayerRequest request;
    request.stop = &stop_;
    request.blob.digest = blob;
    request.diff_id = diff_id;
    request.parent = parent;
    return stores_.layers.ingest(request, source);
  }

  Stores stores_;
  const StopFlag& stop_;
  const std::function<void(const std::string&)>& told_;
  const std::optional<Platform>& wanted_;
  Pin pin_;
  std::map<std::string, std::string> texts_;  // JSON files
  std::size_t texts_size_ = 0, files_ = 0, names_size_ = 0;
  mutable std::size_t parsed_ = 0;
  std::map<std::string, std::string> links_;
  std::map<std::string, std::optional<LayerStore::Staged>> staged_;  // empty: placed
  std::map<std::string, std::string> placed_blobs_;                  // file -> digest
  std::map<std::string, std::string> known_;                         // blob -> diff id
  bool listed_ = false;
};

}  // namespace

std::string manifest_for(const std::string& config, const std::vector<LayerInfo>& layers) {
  Manifest manifest;
  manifest.media_type = media::kOciManifest;
  manifest.config.media_type = media::kOciConfig;
  manifest.config.digest = sha256_of(config);
  manifest.config.size = static_cast<std::int64_t>(config.size());
  for (const auto& layer : layers) {
    Descriptor d;
    d.media_type = layer.media_type;
    d.digest = layer.blob;
    d.size = layer.blob_size;
    manifest.layers.push_back(std::move(d));
  }
  return json::to_text(manifest);
}

Result<std::vector<Image>> load_images(ByteSource& source, Stores stores, const StopFlag& stop,
                                       const std::function<void(const std::string&)>& told,
                                       const std::optional<Platform>& wanted) {
  return Loader(stores, stop, told, wanted).run(source);
}

}  // namespace coracle::storage
