#include "engine/inspect/disk_usage.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "engine/base/async/future.hpp"
#include "engine/base/async/own_thread.hpp"
#include "engine/base/at.hpp"
#include "engine/base/tree/linked.hpp"
#include "engine/inspect/list.hpp"

namespace coracle {
namespace {

// Adds up files; what cannot be read is left out.
class Sum final : public Visitor {
 public:
  Sum(Way& way, dev_t device) : way_(way), device_(device) {}
  std::int64_t bytes = 0;

  Result<> list(Piece& piece) override {
    if (const UniqueFd* dir = way_.dir(0)) {
      (void)read_dir(*dir, [&](auto name, auto type) { piece.add(name, type); });
    }
    return {};
  }

  Result<bool> entry(const DirEntry& e) override {
    const UniqueFd* dir = way_.dir(0);
    struct stat st {};
    if (dir == nullptr || at::look(*dir, e.name, st) != 0) return false;
    if (!S_ISDIR(st.st_mode)) {
      add(st);
      return false;
    }
    if (st.st_dev != device_) return false;
    std::vector<UniqueFd> dirs;
    dirs.push_back(at::open_dir(*dir, e.name));
    if (!dirs.front()) return false;
    CHECK(way_.down(e.name, std::move(dirs)));
    return true;
  }

 private:
  void add(const struct stat& st) {
    if (st.st_nlink > 1) {
      if (linked_.find(st) != nullptr) {
        linked_.forget_if_met(st);
        return;
      }
      linked_.keep(st, true);
    }
    bytes += st.st_size;
  }

  Way& way_;
  dev_t device_;
  Linked<bool> linked_;
};

std::map<std::string, std::int64_t> sizes_of_trees(
    const std::vector<std::pair<std::string, std::string>>& trees) {
  std::map<std::string, std::int64_t> sizes;
  for (const auto& [name, path] : trees) {
    if (const auto size = tree_size(path)) sizes[name] = *size;
  }
  return sizes;
}

Task<std::map<std::string, std::int64_t>> walk(
    asio::io_context& io, std::vector<std::pair<std::string, std::string>> trees) {
  auto job = [trees = std::move(trees)]() -> Result<std::map<std::string, std::int64_t>> {
    return sizes_of_trees(trees);
  };
  // On no Worker: a volume may lie on a file system that answers late, or never.
  ThreadOwner owner{Lane::trees, "volumes"};
  co_return co_await run_on_thread(io, std::move(job), std::move(owner));
}

Task<std::vector<DiskUsage::ContainerUse>> container_uses(Context& context) {
  ListOptions all;
  all.all = true;
  std::vector<ContainerView> views;
  std::vector<std::string> ids;
  CO_CHECK(list_containers(context, all, [&](const ContainerView& view) {
    views.push_back(view);
    ids.push_back(view.id);
  }));
  CO_TRY(const auto sizes, co_await container_sizes(context, std::move(ids)));
  std::vector<DiskUsage::ContainerUse> uses;
  for (auto& view : views) {
    const auto found = sizes.find(view.id);
    if (found != sizes.end()) uses.push_back({std::move(view), found->second});
  }
  co_return uses;
}

Task<std::vector<DiskUsage::VolumeUse>> volume_uses(Context& context) {
  auto volumes = context.storage->volumes();
  std::vector<std::pair<std::string, std::string>> trees;
  for (const auto& v : volumes) trees.emplace_back(v.name, v.mountpoint);
  CO_TRY(const auto sizes, co_await walk(context.io, std::move(trees)));
  std::vector<DiskUsage::VolumeUse> uses;
  for (auto& v : volumes) {
    DiskUsage::VolumeUse use;
    const auto found = sizes.find(v.name);
    if (found != sizes.end()) use.size = found->second;
    use.containers = containers_with_volume(context.table, v.name);
    use.volume = std::move(v);
    uses.push_back(std::move(use));
  }
  co_return uses;
}

std::map<std::string, std::size_t> containers_by_image(const ContainerTable& containers) {
  std::map<std::string, std::size_t> counts;
  for (const auto& [id, c] : containers.all()) ++counts[c->record.image_id];
  return counts;
}

}  // namespace

void LayerSums::add(const storage::Image& image, bool used) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < image.diff_ids.size(); ++i) {
    const auto [found, is_new] = nodes_[at].above.try_emplace(image.diff_ids[i], nodes_.size());
    const auto next = found->second;
    if (is_new) nodes_.emplace_back();
    at = next;
    if (i < image.layer_sizes.size()) nodes_[at].size = image.layer_sizes[i];
    ++nodes_[at].images;
    nodes_[at].used = nodes_[at].used || used;
  }
}

std::int64_t LayerSums::total() const {
  std::int64_t sum = 0;
  for (const auto& node : nodes_) sum += node.size;
  return sum;
}

std::int64_t LayerSums::unused() const {
  std::int64_t sum = 0;
  for (const auto& node : nodes_) sum += node.used ? 0 : node.size;
  return sum;
}

std::int64_t LayerSums::shared(const storage::Image& image) const {
  std::int64_t sum = 0;
  std::size_t at = 0;
  for (const auto& diff_id : image.diff_ids) {
    const auto found = nodes_[at].above.find(diff_id);
    if (found == nodes_[at].above.end()) break;
    at = found->second;
    if (nodes_[at].images > 1) sum += nodes_[at].size;
  }
  return sum;
}

LayerSums sums_of(const storage::Storage& storage, const ContainerTable& containers) {
  const auto used = containers_by_image(containers);
  LayerSums sums;
  for (const auto& image : storage.images()) sums.add(image, used.contains(image.id));
  return sums;
}

Result<std::int64_t> tree_size(const std::string& path, Stop stop) {
  std::vector<UniqueFd> top;
  top.emplace_back(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top.front()) return sys_error("open {}", path);
  struct stat st {};
  if (::fstat(top.front().get(), &st) != 0) return sys_error("look at {}", path);
  Way way(std::move(top));
  Sum sum(way, st.st_dev);
  CHECK(coracle::walk(way, sum, stop));
  return sum.bytes;
}

std::size_t containers_with_volume(const ContainerTable& containers, const std::string& name) {
  return static_cast<std::size_t>(std::ranges::count_if(containers.all(), [&](const auto& entry) {
    return std::ranges::any_of(entry.second->record.mounts, [&](const MountRecord& m) {
      return m.type == MountType::volume && m.name == name;
    });
  }));
}

Task<std::map<std::string, ContainerSize>> container_sizes(Context& context,
                                                           std::vector<std::string> ids) {
  std::map<std::string, std::int64_t> images;
  for (const auto& image : context.storage->images()) images[image.id] = image.size;
  std::map<std::string, ContainerSize> sizes;
  std::deque<std::pair<std::string, Future<storage::LayerUsage>>> asked;
  for (const auto& id : ids) {
    const auto found = context.table.all().find(id);
    if (found == context.table.all().end()) continue;
    const auto& c = *found->second;
    // Nothing writes to the layer of one that does not run.
    const auto version = is_alive(c.status()) ? "" : "ended " + to_rfc3339(c.state.finished_at);
    sizes[id].root_fs = images[c.record.image_id];
    asked.emplace_back(id, Future<storage::LayerUsage>(context.io, context.scope, "measure layer",
                                                       context.storage->layer_usage(id, version)));
  }
  for (auto& [id, later] : asked) {
    const auto usage = co_await later.get();
    if (!usage) {
      sizes.erase(id);
      continue;
    }
    sizes[id].rw = usage->bytes;
    sizes[id].root_fs += usage->bytes;
  }
  co_return sizes;
}

Task<DiskUsage> disk_usage(Context& context, DiskUsageParts wanted) {
  DiskUsage usage;
  if (wanted.containers) {
    CO_TRY(auto containers, co_await container_uses(context));
    usage.containers = std::move(containers);
  }
  if (wanted.volumes) {
    CO_TRY(auto volumes, co_await volume_uses(context));
    usage.volumes = std::move(volumes);
  }
  if (!wanted.images) co_return usage;
  const auto sums = sums_of(*context.storage, context.table);
  const auto containers = containers_by_image(context.table);
  usage.layers = sums.total();
  usage.layers_unused = sums.unused();
  usage.images.emplace();
  for (auto& image : context.storage->images()) {
    DiskUsage::ImageUse use;
    use.shared = sums.shared(image);
    const auto found = containers.find(image.id);
    if (found != containers.end()) use.containers = found->second;
    use.image = std::move(image);
    usage.images->push_back(std::move(use));
  }
  co_return usage;
}

}  // namespace coracle
