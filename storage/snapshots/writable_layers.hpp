// The writable layers of containers: containers/<id>/ with layer.json and what the driver made.
// The index in memory is built from the directories at open; layer.json is written before the
// directory gets its name, so that a layer exists whole or not at all.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/result.hpp"
#include "storage/content/damaged.hpp"
#include "storage/content/trash.hpp"
#include "storage/snapshots/diff.hpp"
#include "storage/snapshots/mount_plan.hpp"
#include "storage/snapshots/snapshot.hpp"

namespace coracle::storage {

// containers/<id>/layer.json
struct LayerRecord {
  std::string image_id;                // "sha256:…"
  std::vector<std::string> chain_ids;  // the image's layers, topmost first
  std::string driver;                  // that made it; the layer stays with it
  Time created;
};
void describe(auto& field, LayerRecord& r) {
  field("image_id", r.image_id)("chain_ids", r.chain_ids)("driver", r.driver)("created", r.created);
}

// On the loop's thread; file work goes to the workers.
class WritableLayers {
 public:
  // layers_dir: holds <chain-id without "sha256:">/diff
  WritableLayers(Workers& workers, Trash& trash, std::shared_ptr<const SnapshotDriver> driver,
                 std::string containers_dir, std::string layers_dir);

  // Reads all records, removes half-made ones. Blocking, once. Returns what was left out.
  Result<std::vector<Damaged>> load();

  // chain_ids: topmost first; the caller holds them until this has answered, from then on they are
  // in chain_ids_in_use().
  // A kill leaves it, a power cut may not: that takes sync().
  //   errors  conflict: there is one of that id
  Task<> create(std::string id, std::string image_id, std::vector<std::string> chain_ids);
  // Blocking, and of any thread: those that were made are on the disk, names and all.
  [[nodiscard]] Result<> sync(const std::vector<std::string>& ids) const;
  // errors: not_found "no writable layer ID"
  [[nodiscard]] Result<MountPlan> plan(const std::string& id) const;
  // What tells the layer from its image. errors: not_found
  [[nodiscard]] Result<DiffSource> diff_source(const std::string& id) const;
  // The directories that make up the root as it is seen, topmost first. errors: not_found
  [[nodiscard]] Result<std::vector<std::string>> stack(const std::string& id) const;
  // A layer that is not there is fine.
  Task<> remove(std::string id);

  [[nodiscard]] std::vector<std::string> ids() const;
  [[nodiscard]] Result<std::string> image_of(const std::string& id) const;
  // For gc: every image id and chain id that a writable layer stands on.
  [[nodiscard]] std::vector<std::string> image_ids_in_use() const;
  [[nodiscard]] std::vector<std::string> chain_ids_in_use() const;

 private:
  [[nodiscard]] std::vector<std::string> lower_dirs(const std::vector<std::string>& chain) const;

  Workers& workers_;
  Trash& trash_;
  std::shared_ptr<const SnapshotDriver> driver_;
  std::string dir_, layers_dir_;
  std::map<std::string, LayerRecord> records_;
};

}  // namespace coracle::storage
