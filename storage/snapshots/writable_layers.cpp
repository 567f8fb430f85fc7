#include "storage/snapshots/writable_layers.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "storage/content/records.hpp"

namespace coracle::storage {
namespace {

constexpr const char* kLayerFile = "layer.json";

std::string without_algorithm(const std::string& digest) {
  const auto colon = digest.find(':');
  return colon == std::string::npos ? digest : digest.substr(colon + 1);
}

bool is_plain_name(const std::string& id) {
  return !id.empty() && id.front() != '.' && id.find('/') == std::string::npos && id.size() < 200;
}

// The record, then what the driver needs, in a directory of a temporary name.
Result<> make_layer(const std::string& dir, const std::string& id, const LayerRecord& record,
                    const SnapshotDriver& driver, const std::vector<std::string>& lower) {
  CHECK(make_dirs(dir));
  const std::string fresh = join_path(dir, std::string(kUnfinished) + id);
  CHECK(remove_tree(fresh));
  if (::mkdir(fresh.c_str(), 0700) != 0) return sys_error("make {}", fresh);
  auto made = driver.prepare(fresh, lower);
  if (made) made = write_new_file(join_path(fresh, kLayerFile), json::to_text(record));
  if (made) made = fail_point("snapshot.create");
  if (made && ::rename(fresh.c_str(), join_path(dir, id).c_str()) != 0)
    made = sys_error("name the writable layer {}", id);
  if (made) return {};
  static_cast<void>(remove_tree(fresh));  // what stays goes at the next start
  return std::unexpected(made.error().within("make a writable layer for {}", short_id(id)));
}

}  // namespace

WritableLayers::WritableLayers(Workers& workers, Trash& trash,
                               std::shared_ptr<const SnapshotDriver> driver,
                               std::string containers_dir, std::string layers_dir)
    : workers_(workers),
      trash_(trash),
      driver_(std::move(driver)),
      dir_(std::move(containers_dir)),
      layers_dir_(std::move(layers_dir)) {}

Result<std::vector<Damaged>> WritableLayers::load() {
  return load_records<LayerRecord>(dir_, kLayerFile, trash_,
                                   [this](const std::string& id, LayerRecord record) -> Result<> {
                                     CHECK(driver_by_name(record.driver));
                                     records_[id] = std::move(record);
                                     return {};
                                   });
}

std::vector<std::string> WritableLayers::lower_dirs(const std::vector<std::string>& chain) const {
  std::vector<std::string> dirs;
  dirs.reserve(chain.size());
  for (const auto& id : chain) dirs.push_back(layers_dir_ + "/" + without_algorithm(id) + "/diff");
  return dirs;
}

Task<> WritableLayers::create(std::string id, std::string image_id,
                              std::vector<std::string> chain_ids) {
  if (!is_plain_name(id))
    co_return fail(Errc::invalid_argument, "make a writable layer: bad id {}", id);
  LayerRecord record;
  record.image_id = std::move(image_id);
  record.chain_ids = std::move(chain_ids);
  record.driver = driver_->name();
  record.created = now();
  // Entered at once: a second one of that id is refused, and gc sees its layers.
  if (!records_.emplace(id, record).second)
    co_return fail(Errc::conflict, "there is a writable layer {} already", id);
  auto job = [dir = dir_, id, record, driver = driver_, lower = lower_dirs(record.chain_ids)] {
    return make_layer(dir, id, record, *driver, lower);
  };
  auto made = co_await workers_.run(std::move(job));
  if (!made) records_.erase(id);
  co_return made;
}

Result<> WritableLayers::sync(const std::vector<std::string>& ids) const {
  for (const auto& id : ids) CHECK(sync_dir(join_path(dir_, id)));
  return sync_dir(dir_);
}

Result<MountPlan> WritableLayers::plan(const std::string& id) const {
  const auto found = records_.find(id);
  if (found == records_.end()) return fail(Errc::not_found, "no writable layer {}", id);
  const std::string dir = join_path(dir_, id);
  const auto lower = lower_dirs(found->second.chain_ids);
  const std::string& made_by = found->second.driver;
  // The two overlays take each other's layers; a copied tree stays what it is.
  if (made_by == driver_->name() || (made_by != "copy" && !driver_->upper(dir).empty()))
    return driver_->plan(dir, lower);
  TRY(const auto other, driver_by_name(made_by));
  return other->plan(dir, lower);
}

Result<DiffSource> WritableLayers::diff_source(const std::string& id) const {
  const auto found = records_.find(id);
  if (found == records_.end()) return fail(Errc::not_found, "no writable layer {}", id);
  const std::string dir = join_path(dir_, id);
  TRY(const auto maker, driver_by_name(found->second.driver));
  DiffSource out;
  out.lower = lower_dirs(found->second.chain_ids);
  out.upper = maker->upper(dir);
  if (out.upper.empty()) out.copy = maker->plan(dir, out.lower).lower.front();
  // A layer of the one overlay may have been mounted by the other since.
  const auto is_fuse = [](const char* name) { return std::string_view(name) == "fuse-overlayfs"; };
  out.named_whiteouts = is_fuse(maker->name()) || is_fuse(driver_->name());
  return out;
}

Result<std::vector<std::string>> WritableLayers::stack(const std::string& id) const {
  TRY(auto source, diff_source(id));
  if (source.upper.empty()) return std::vector<std::string>{source.copy};
  source.lower.insert(source.lower.begin(), source.upper);
  return source.lower;
}

Task<> WritableLayers::remove(std::string id) {
  if (!records_.contains(id)) co_return Result<>{};
  CO_CHECK(fail_point("snapshot.remove"));
  auto job = [trash = &trash_, path = join_path(dir_, id)] { return trash->take(path); };
  CO_CHECK(co_await workers_.run(std::move(job)));
  records_.erase(id);
  trash_.empty();
  co_return Result<>{};
}

std::vector<std::string> WritableLayers::ids() const {
  std::vector<std::string> out;
  for (const auto& [id, record] : records_) out.push_back(id);
  return out;
}

Result<std::string> WritableLayers::image_of(const std::string& id) const {
  const auto found = records_.find(id);
  if (found == records_.end()) return fail(Errc::not_found, "no writable layer {}", id);
  return found->second.image_id;
}

std::vector<std::string> WritableLayers::image_ids_in_use() const {
  std::vector<std::string> out;
  for (const auto& [id, record] : records_) out.push_back(record.image_id);
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::vector<std::string> WritableLayers::chain_ids_in_use() const {
  std::vector<std::string> out;
  for (const auto& [id, record] : records_)
    out.insert(out.end(), record.chain_ids.begin(), record.chain_ids.end());
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace coracle::storage
