// The driver that works anywhere: the merged tree is copied when the layer is made (sharing the
// data where the file system has reflinks), and bound as it is.
#include <fcntl.h>
#include <sys/stat.h>

#include "storage/snapshots/copy_tree.hpp"
#include "storage/snapshots/merged_tree.hpp"
#include "storage/snapshots/root_dir.hpp"
#include "storage/snapshots/snapshot.hpp"

namespace coracle::storage {
namespace {

class CopyDriver final : public SnapshotDriver {
 public:
  [[nodiscard]] const char* name() const override { return "copy"; }
  Result<> prepare(const std::string& dir, const std::vector<std::string>& lower) const override {
    const std::string root = dir + "/root";
    if (::mkdir(root.c_str(), 0755) != 0) return sys_error("make {}", root);
    TRY(const auto merged, open_merged(lower));
    auto done = copy_tree(merged, root);
    if (!done) return std::unexpected(done.error().within("copy the image's files"));
    const UniqueFd top(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!top) return sys_error("open {}", root);
    return begin_root(top, lower);
  }
  [[nodiscard]] MountPlan plan(const std::string& dir,
                               const std::vector<std::string>& /*lower*/) const override {
    MountPlan plan;
    plan.type = "bind";
    plan.lower = {dir + "/root"};
    return plan;
  }
  Result<> probe(const std::string& /*scratch*/) const override { return {}; }
  [[nodiscard]] std::string upper(const std::string& /*dir*/) const override { return {}; }
};

}  // namespace

std::unique_ptr<SnapshotDriver> make_copy_driver() { return std::make_unique<CopyDriver>(); }

}  // namespace coracle::storage
