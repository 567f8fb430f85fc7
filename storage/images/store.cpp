#include "storage/images/store.hpp"

#include <algorithm>
#include <utility>

#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "storage/images/reference.hpp"

namespace coracle::storage {
namespace {

std::string familiar_text(const std::string& canonical_text) {
  const auto reference = from_canonical(canonical_text);
  return reference ? reference->familiar() : canonical_text;
}

std::unexpected<Error> no_such_image(const std::string& name) {
  return fail(Errc::not_found, "No such image: {}", name);
}

bool is_hex(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Reference tag_only(Reference reference) {
  reference.digest.clear();
  if (reference.tag.empty()) reference.tag = kDefaultTag;
  return reference;
}

bool holds(const ImageRecord& record, const std::string& name) {
  return std::ranges::any_of(record.names, [&](const NameRecord& n) { return n.name == name; });
}

// Gives a record the name, from now on.
void give(ImageRecord& record, const std::string& name) {
  std::erase_if(record.names, [&](const NameRecord& n) { return n.name == name; });
  record.names.push_back({name, now()});
  record.last_tag_time = record.names.back().since;
}

}  // namespace

ImageStore::ImageStore(std::string root, BlobStore& blobs, LayerStore& layers, Trash& trash)
    : root_(std::move(root)), blobs_(blobs), layers_(layers), trash_(trash) {}

// ---- files

Result<ImageStore::Entry> ImageStore::make_entry(const ImageRecord& record,
                                                 const ConfigFile& config) const {
  Entry entry{.record = record, .image = {}, .keys = {record.id, record.manifest}};
  Image& image = entry.image;
  image.id = record.id;
  image.created = config.created;
  image.author = config.author;
  image.comment = config.comment;
  image.architecture = config.architecture;
  image.variant = config.variant;
  image.os = config.os;
  image.config = config.config;
  image.diff_ids = config.rootfs.diff_ids;
  image.history = config.history;
  image.parent = record.parent;
  image.last_tag_time = record.last_tag_time;
  for (const auto& name : record.names) image.repo_tags.push_back(familiar_text(name.name));
  for (const auto& digest : record.digests) image.repo_digests.push_back(familiar_text(digest));
  std::ranges::sort(image.repo_tags);
  std::ranges::sort(image.repo_digests);
  for (const auto& id : chain_ids(image.diff_ids)) {
    const auto layer = layers_.find(id);
    if (!layer) return fail(Errc::not_found, "layer {}: not in the store", id);
    image.size += layer->size;
    image.layer_sizes.push_back(layer->size);
    entry.keys.push_back(id);
  }
  return entry;
}

Result<ImageStore::Entry> ImageStore::load(const std::string& directory) const {
  TRY(const auto text, read_file(directory + "/image.json"));
  TRY(const auto record, json::from_text<ImageRecord>(text));
  if (!directory.ends_with("/" + hex_of(record.id)))
    return fail(Errc::internal, "it is not the image that its directory says");
  TRY(const auto config_text, blobs_.read(record.id));
  TRY(const auto config, parse_config(config_text));
  TRY(auto entry, make_entry(record, config));
  TRY(const auto manifest_text, blobs_.read(record.manifest));
  TRY(const auto manifest, parse_manifest(manifest_text, record.manifest_type));
  if (const auto* m = std::get_if<Manifest>(&manifest)) {
    for (const auto& layer : m->layers) entry.keys.push_back(layer.digest);
  }
  return entry;
}

Result<> ImageStore::open(std::vector<Damaged>& damaged) {
  CHECK(make_dirs(root_ + "/images"));
  TRY(const auto names, list_dir(root_ + "/images"));
  std::map<std::string, std::pair<Time, std::string>> owners;  // name -> since, id
  for (const auto& name : names) {
    const std::string path = root_ + "/images/" + name;
    TRY(const auto files, list_dir(path));
    for (const auto& file : files) {
      if (file.ends_with(".tmp")) CHECK(remove_tree(path + "/" + file));
    }
    // A kill before its first image.json: it never was one.
    if (!exists(path + "/image.json")) {
      CHECK(trash_.take(path));
      continue;
    }
    auto entry = load(path);
    if (!entry) {
      damaged.push_back({path, entry.error().message});
      continue;
    }
    for (const auto& n : entry->record.names) {
      auto& owner = owners[n.name];
      if (owner.second.empty() || owner.first < n.since) owner = {n.since, entry->record.id};
    }
    publish(*std::move(entry));
  }
  for (const auto& [name, owner] : owners) CHECK(strike(name, owner.second));
  return {};
}

Result<> ImageStore::write(const ImageRecord& record) {
  const std::string directory = root_ + "/images/" + hex_of(record.id);
  const bool fresh = !exists(directory);
  CHECK(fail_point("image.write"));
  CHECK(make_dirs(directory));
  CHECK(write_file_atomic(directory + "/image.json", json::to_text(record)));
  CHECK(fail_point("image.rename"));
  return fresh ? sync_dir(root_ + "/images") : Result<>{};
}

void ImageStore::publish(Entry entry) {
  const std::lock_guard lock(data_);
  entries_[entry.record.id] = std::move(entry);
}

// Takes `name` from every image but one.
Result<> ImageStore::strike(const std::string& name, const std::string& except_id) {
  std::vector<Entry> losers;
  {
    const std::lock_guard lock(data_);
    for (const auto& [id, entry] : entries_) {
      if (id != except_id && holds(entry.record, name)) losers.push_back(entry);
    }
  }
  for (auto& entry : losers) {
    std::erase_if(entry.record.names, [&](const NameRecord& n) { return n.name == name; });
    std::erase(entry.image.repo_tags, familiar_text(name));
    CHECK(write(entry.record));
    publish(std::move(entry));
  }
  return {};
}

// ---- reading

std::vector<Image> ImageStore::images() const {
  std::vector<Image> out;
  {
    const std::lock_guard lock(data_);
    for (const auto& [id, entry] : entries_) out.push_back(entry.image);
  }
  std::ranges::stable_sort(out,
                           [](const Image& a, const Image& b) { return a.created > b.created; });
  return out;
}

Result<std::string> ImageStore::resolve(const std::string& name) const {
  const auto by_prefix = [&](const std::string& hex) -> Result<std::string> {
    const auto first = entries_.lower_bound(digest_of_hex(hex));
    if (!is_hex(hex) || first == entries_.end() || !first->first.starts_with(digest_of_hex(hex)))
      return no_such_image(name);
    const auto second = std::next(first);
    if (second != entries_.end() && second->first.starts_with(digest_of_hex(hex)))
      return fail(Errc::invalid_argument, "image id prefix {} is ambiguous", name);
    return first->first;
  };
  if (name.starts_with("sha256:")) return by_prefix(hex_of(name));
  if (name.size() == 64 && is_hex(name)) return by_prefix(name);
  const auto reference = parse_reference(name, true);
  if (!reference) return std::unexpected(reference.error());
  const std::string wanted = canonical(*reference);
  for (const auto& [id, entry] : entries_) {
    if (reference->digest.empty()
            ? holds(entry.record, wanted)
            : std::ranges::find(entry.record.digests, wanted) != entry.record.digests.end())
      return id;
    // name@ID, by an image that has the name
    if (id == reference->digest &&
        std::ranges::any_of(entry.record.names, [&](const NameRecord& n) {
          return n.name.starts_with(canonical_name(*reference) + ":");
        }))
      return id;
  }
  auto found = by_prefix(name);
  if (!found && found.error().code == Errc::not_found) return no_such_image(reference->familiar());
  return found;
}

Result<Image> ImageStore::find(const std::string& name) const {
  const std::lock_guard lock(data_);
  TRY(const auto id, resolve(name));
  const auto& entry = entries_.at(id);
  Image out = entry.image;
  // Behind the configuration and the manifest make_entry() puts the layers.
  for (std::size_t i = 0; i < out.diff_ids.size(); ++i)
    out.layer_dirs.push_back(root_ + "/layers/" + hex_of(entry.keys.at(i + 2)) + "/diff");
  return out;
}

Result<Image> ImageStore::by_id(const std::string& id) const {
  const std::lock_guard lock(data_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return no_such_image(id);
  return found->second.image;
}

Result<ImageStore::Entry> ImageStore::entry_of(const std::string& image_id) const {
  const std::lock_guard lock(data_);
  const auto found = entries_.find(image_id);
  if (found == entries_.end()) return no_such_image(image_id);
  return found->second;
}

Result<ImageRecord> ImageStore::record(const std::string& id) const {
  const std::lock_guard lock(data_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return no_such_image(id);
  return found->second.record;
}

std::vector<std::string> ImageStore::reachable() const {
  const std::lock_guard lock(data_);
  std::vector<std::string> out;
  for (const auto& [id, entry] : entries_)
    out.insert(out.end(), entry.keys.begin(), entry.keys.end());
  return out;
}

Result<bool> ImageStore::all_known() const {
  TRY(const auto names, list_dir(root_ + "/images"));
  const std::lock_guard lock(data_);
  return std::ranges::all_of(
      names, [&](const auto& name) { return entries_.contains(digest_of_hex(name)); });
}

// ---- changing

Result<Image> ImageStore::add(const NewImage& image) {
  const std::string id = sha256_of(image.config);
  const std::string manifest_digest = sha256_of(image.manifest);
  const auto pin = layers_.pins().take({id, manifest_digest});
  TRY(const auto parsed, parse_manifest(image.manifest, image.manifest_type));
  const auto* manifest = std::get_if<Manifest>(&parsed);
  if (manifest == nullptr) return fail(Errc::invalid_argument, "add an image: an index is none");
  TRY(const auto config, parse_config(image.config));
  if (manifest->config.digest != id) {
    return fail(Errc::invalid_argument, "the manifest names the configuration {}, this is {}",
                manifest->config.digest, id);
  }
  if (manifest->layers.size() != config.rootfs.diff_ids.size()) {
    return fail(Errc::invalid_argument,
                "image {}: the manifest has {} layers, the configuration {}", id,
                manifest->layers.size(), config.rootfs.diff_ids.size());
  }
  for (const auto& name : image.names) CHECK(check_ambiguous(name));
  const std::lock_guard one(writing_);
  ImageRecord record;
  record.id = id;
  record.added = now();
  record.parent = image.parent;
  if (auto there = this->record(id)) record = *std::move(there);
  record.manifest = manifest_digest;
  record.manifest_type = manifest->media_type;
  for (const auto& name : image.names) {
    if (!name.tag.empty()) give(record, canonical(tag_only(name)));
    if (name.digest.empty()) continue;
    const auto digest = canonical(name);
    if (std::ranges::find(record.digests, digest) == record.digests.end())
      record.digests.push_back(digest);
  }
  TRY(auto entry, make_entry(record, config));
  for (const auto& layer : manifest->layers) entry.keys.push_back(layer.digest);
  CHECK(blobs_.put(image.config));
  CHECK(blobs_.put(image.manifest));
  CHECK(write(record));
  publish(entry);
  for (const auto& name : record.names) CHECK(strike(name.name, id));
  return entry.image;
}

Result<> ImageStore::tag(const std::string& image_id, const Reference& to) {
  CHECK(check_ambiguous(to));
  const std::lock_guard one(writing_);
  TRY(auto entry, entry_of(image_id));
  const Reference name = tag_only(to);
  if (holds(entry.record, canonical(name))) return {};
  give(entry.record, canonical(name));
  entry.image.last_tag_time = entry.record.last_tag_time;
  entry.image.repo_tags.push_back(name.familiar());
  std::ranges::sort(entry.image.repo_tags);
  CHECK(write(entry.record));
  publish(std::move(entry));
  return strike(canonical(name), image_id);
}

Result<> ImageStore::add_digest(const std::string& image_id, const Reference& there) {
  const std::lock_guard one(writing_);
  TRY(auto entry, entry_of(image_id));
  const auto digest = canonical(there);
  if (std::ranges::find(entry.record.digests, digest) != entry.record.digests.end()) return {};
  entry.record.digests.push_back(digest);
  entry.image.repo_digests.push_back(there.familiar());
  std::ranges::sort(entry.image.repo_digests);
  CHECK(write(entry.record));
  publish(std::move(entry));
  return {};
}

Result<Removed> ImageStore::remove(const std::string& name, bool force, bool keep) {
  const std::lock_guard one(writing_);
  Entry entry;
  {
    const std::lock_guard lock(data_);
    TRY(const auto id, resolve(name));
    entry = entries_.at(id);
  }
  Removed out;
  ImageRecord& record = entry.record;
  const bool by_id = name.starts_with("sha256:") || hex_of(record.id).starts_with(name);
  const auto reference = parse_reference(name, true);
  const bool by_name = reference && (!by_id || holds(record, canonical(*reference)));
  if (by_name) {
    const std::string wanted = canonical(*reference);
    std::erase_if(record.names, [&](const NameRecord& n) { return n.name == wanted; });
    std::erase(record.digests, wanted);
    out.untagged.push_back(reference->familiar());
    // The digests of a repository go with its last tag.
    const std::string repository = canonical_name(*reference);
    if (std::ranges::none_of(record.names, [&](const NameRecord& n) {
          return n.name.starts_with(repository + ":");
        })) {
      std::erase_if(record.digests, [&](const std::string& digest) {
        const bool goes = digest.starts_with(repository + "@");
        if (goes) out.untagged.push_back(familiar_text(digest));
        return goes;
      });
    }
  } else {
    if (!force && record.names.size() > 1) {
      return fail(
          Errc::conflict,
          "conflict: unable to delete {} (must be forced) - image is referenced in multiple "
          "repositories",
          hex_of(record.id).substr(0, 12));
    }
    for (const auto& n : record.names) out.untagged.push_back(familiar_text(n.name));
    for (const auto& digest : record.digests) out.untagged.push_back(familiar_text(digest));
    record.names.clear();
    record.digests.clear();
  }
  if (keep || !record.names.empty() || !record.digests.empty()) {
    CHECK(write(record));
    entry.image.repo_tags.clear();
    entry.image.repo_digests.clear();
    for (const auto& n : record.names) entry.image.repo_tags.push_back(familiar_text(n.name));
    for (const auto& d : record.digests) entry.image.repo_digests.push_back(familiar_text(d));
    std::ranges::sort(entry.image.repo_tags);
    std::ranges::sort(entry.image.repo_digests);
    publish(std::move(entry));
    return out;
  }
  CHECK(fail_point("image.remove"));
  CHECK(trash_.take(root_ + "/images/" + hex_of(record.id)));
  CHECK(sync_dir(root_ + "/images"));
  const std::lock_guard lock(data_);
  entries_.erase(record.id);
  out.deleted.push_back(record.id);
  return out;
}

}  // namespace coracle::storage
