#include "storage/images/commit.hpp"

#include <algorithm>
#include <string_view>
#include <thread>
#include <utility>

#include "engine/base/async/own_thread.hpp"
#include "engine/base/failpoint.hpp"
#include "engine/base/ident.hpp"
#include "storage/content/chunk_ring.hpp"
#include "storage/images/config_change.hpp"
#include "storage/snapshots/root_dir.hpp"
#include "storage/snapshots/tar_tree.hpp"

namespace coracle::storage {
namespace {

struct Packed {
  BlobStore::Writer blob;
  std::int64_t file_bytes;
};

Result<> hash_and_keep(ChunkRing& ring, BlobStore::Writer& blob) {
  for (;;) {
    TRY(const auto chunk, ring.next());
    if (chunk.bytes.empty()) return {};
    CHECK(blob.write(chunk.bytes));
  }
}

// The changes as a tar: this thread reads the files, another hashes and writes.
Result<Packed> pack_changes(const DiffSource& source, BlobStore& blobs,
                            const std::atomic<bool>& stop) {
  TRY(auto blob, blobs.begin());
  ChunkRing ring;
  Result<> kept;
  std::jthread keeper([&] {
    kept = caught([&] { return hash_and_keep(ring, blob); });
    ring.abandon();
  });
  const auto keep = [&](std::string_view bytes) -> Result<> {
    while (!bytes.empty()) {
      const auto chunk = ring.free_chunk();
      if (chunk.empty()) return fail(Errc::internal, "the tar cannot be kept");
      const auto n = bytes.copy(chunk.data(), chunk.size());
      ring.publish(n, 0);
      bytes.remove_prefix(n);
    }
    return {};
  };
  auto file_bytes = caught([&] { return write_diff(source, keep, &stop); });
  ring.finish(file_bytes ? Result<>{} : std::unexpected(file_bytes.error()));
  keeper.join();
  if (!kept) return std::unexpected(kept.error());  // the reader's own, too
  return Packed{std::move(blob), *file_bytes};
}

bool has_changes(const DiffSource& source) {
  const auto root = changed_root(source);
  bool any = !root || *root;
  if (any) return true;
  const auto seen = walk_diff(source, false, [&](const DiffEntry&) -> Result<> {
    any = true;
    return fail(Errc::internal, "enough");
  });
  return any || !seen;
}

std::string_view name_of_variable(const std::string& variable) {
  return std::string_view(variable).substr(0, variable.find('='));
}

// Docker's merge: what `config` leaves open is as in the container.
void fill_in(ImageConfig& config, const ImageConfig& from) {
  if (config.user.empty()) config.user = from.user;
  if (config.working_dir.empty()) config.working_dir = from.working_dir;
  if (config.stop_signal.empty()) config.stop_signal = from.stop_signal;
  if (config.shell.empty()) config.shell = from.shell;
  config.exposed_ports.insert(from.exposed_ports.begin(), from.exposed_ports.end());
  config.volumes.insert(from.volumes.begin(), from.volumes.end());
  config.labels.insert(from.labels.begin(), from.labels.end());
  for (const auto& variable : from.env) {
    const bool set = std::ranges::any_of(config.env, [&](const std::string& own) {
      return name_of_variable(own) == name_of_variable(variable);
    });
    if (!set) config.env.push_back(variable);
  }
  if (config.entrypoint.empty()) {
    if (config.cmd.empty()) config.cmd = from.cmd;
    config.entrypoint = from.entrypoint;
  }
  if (!config.healthcheck) config.healthcheck = from.healthcheck;
}

}  // namespace

Result<Image> commit_image(const DiffSource& source, const std::string& parent,
                           const CommitOptions& options, Stores stores,
                           const std::atomic<bool>& stop) {
  ImageConfig wanted = options.config;
  CHECK(apply_changes(wanted, options.changes));
  fill_in(wanted, options.defaults);
  TRY(const auto below, stores.images.by_id(parent));
  TRY(const auto text, stores.blobs.read(parent));
  TRY(auto config, parse_config(text));
  std::vector<LayerInfo> layers;
  for (const auto& chain : chain_ids(below.diff_ids)) {
    auto info = stores.layers.find(chain);
    if (!info) return fail(Errc::not_found, "image {}: layer {} is gone", parent, chain);
    layers.push_back(*std::move(info));
  }
  const bool changed = has_changes(source);
  Pin pin;
  if (changed) {
    auto packed = pack_changes(source, stores.blobs, stop);
    if (!packed) return std::unexpected(packed.error().within("commit"));
    CHECK(fail_point("commit.staged"));
    if (stop) return was_stopped();  // the last moment: from here on it is a few small files
    const std::string top = layers.empty() ? "" : layers.back().chain_id;
    const auto diff_id = packed->blob.digest();
    pin = stores.layers.pins().take({diff_id, chain_id(top, diff_id)});
    TRY(auto layer, stores.layers.place(std::move(packed->blob), packed->file_bytes, top));
    CHECK(fail_point("commit.layer"));
    config.rootfs.diff_ids.push_back(layer.diff_id);
    layers.push_back(std::move(layer));
  }

  config.created = now();
  config.author = options.author;
  config.comment = options.comment;
  config.config = std::move(wanted);
  HistoryEntry history;
  history.created = config.created;
  history.created_by = options.created_by;
  history.author = options.author;
  history.comment = options.comment;
  history.empty_layer = !changed;
  config.history.push_back(std::move(history));

  NewImage image;
  image.config = write_config(config);
  image.manifest = manifest_for(image.config, layers);
  image.manifest_type = media::kOciManifest;
  image.parent = parent;
  if (options.tag) image.names = {*options.tag};
  CHECK(fail_point("commit.config"));
  return stores.images.add(image);
}

}  // namespace coracle::storage
