#include "storage/volumes/store.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "engine/base/at.hpp"
#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "engine/base/tree/remove.hpp"
#include "storage/content/records.hpp"
#include "storage/snapshots/copy_tree.hpp"
#include "storage/snapshots/merged_tree.hpp"
#include "storage/volumes/options.hpp"

namespace coracle::storage {
namespace {

constexpr const char* kVolumeFile = "volume.json";
constexpr const char* kData = "_data";
constexpr const char* kFilling = ".filling";  // what becomes the data once it is whole

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

Result<> check_volume_name(const std::string& name) {
  if (name.size() < 2) {
    return fail(Errc::invalid_argument,
                "create {}: volume name is too short, names should be at least two alphanumeric "
                "characters",
                name);
  }
  if (name.size() > 255)
    return fail(Errc::invalid_argument, "create {}: volume name is longer than 255", name);
  const bool fine = is_alphanumeric(name.front()) && std::ranges::all_of(name, [](char c) {
                      return is_alphanumeric(c) || c == '_' || c == '.' || c == '-';
                    });
  if (fine) return {};
  return fail(
      Errc::invalid_argument,
      "create {}: \"{}\" includes invalid characters for a local volume name, only "
      "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, "
      "use absolute path",
      name, name);
}

namespace {

using Kind = VolumeMount::Kind;

// As it was checked when the volume was made; a record that somebody edited counts as plain.
VolumeMount mount_of(const Volume& v) {
  return read_volume_options(v.name, v.options).value_or(VolumeMount{});
}

Result<> make_volume(const std::string& dir, const VolumeRecord& record, bool with_data) {
  const std::string& name = record.volume.name;
  CHECK(make_dirs(dir));
  const std::string fresh = join_path(dir, std::string(kUnfinished) + random_id().substr(0, 16));
  if (::mkdir(fresh.c_str(), 0700) != 0) return sys_error("make {}", fresh);
  auto made = write_new_file(join_path(fresh, kVolumeFile), json::to_text(record));
  const std::string data = join_path(fresh, "_data");
  if (made && with_data && ::mkdir(data.c_str(), 0755) != 0) made = sys_error("make {}", data);
  // Whatever the umask.
  if (made && with_data && ::chmod(data.c_str(), 0755) != 0) made = sys_error("set its mode");
  if (made) made = sync_dir(fresh);
  if (made) made = fail_point("volume.create");
  if (made && ::rename(fresh.c_str(), join_path(dir, name).c_str()) != 0)
    made = sys_error("name the volume");
  if (made) return sync_dir(dir);
  static_cast<void>(remove_tree(fresh));
  return std::unexpected(made.error().within("create {}", name));
}

struct Fill {
  std::string dir;                  // the volume's own: volumes/NAME
  std::string data, subpath;        // what is filled
  std::vector<std::string> layers;  // topmost first
  std::string path;
  VolumeMount mount;
  bool swap = false;  // data is ours and nobody has it mounted: it may become another directory
};

// A bind volume's directory is bound by each container itself; here it is only looked at.
Result<> look_at_device(const std::string& dir, const VolumeMount& what) {
  struct stat st {};
  if (what.kind != Kind::bind || ::stat(what.device.c_str(), &st) == 0) return {};
  const int reason = errno;
  const auto flags = mount_flags(what.flags) | MS_BIND;
  if (reason == ENOENT)
    return fail_as(
        ENOENT,
        "failed to mount local volume: mount {}:{}, flags: {:#x}: no such file or directory",
        what.device, dir, flags);
  return sys_error_of(reason, "failed to mount local volume: mount {}:{}, flags: {:#x}",
                      what.device, dir, flags);
}

// The directory to fill: the volume's, or one below it that no link leads out of. Nothing when that
// is a file, or cannot be opened, which the start will tell.
Result<UniqueFd> open_target(const Fill& fill) {
  TRY(auto root, open_dir(fill.data));
  if (fill.subpath.empty()) return root;
  auto inside = open_beneath(root, fill.subpath);
  struct stat st {};
  if (!inside || (::fstat(inside->get(), &st) == 0 && !S_ISDIR(st.st_mode))) return UniqueFd{};
  return inside;
}

// Where the copy is made: beside the volume's data, where no container reaches; of a bind volume,
// which may be another file system's, in the directory itself.
struct Place {
  UniqueFd parent;
  std::string name;
};
Result<Place> place_of(const Fill& fill, const UniqueFd& target) {
  if (fill.mount.kind == Kind::bind) {
    TRY(auto parent, duplicate(target));
    constexpr std::size_t kMostOfAName = 200;
    return Place{std::move(parent),
                 std::string(kFilling) + "-" + base_name(fill.dir).substr(0, kMostOfAName)};
  }
  TRY(auto parent, open_dir(fill.dir));
  return Place{std::move(parent), kFilling};
}

Result<bool> is_empty(const UniqueFd& dir) {
  bool empty = true;
  CHECK(read_dir(dir, [&](std::string_view name, unsigned char) {
    if (!name.starts_with(kFilling)) empty = false;
  }));
  return empty;
}

// What the copy holds becomes the target's, name by name: what a container that has the volume has
// put there meanwhile stays, whatever its name.
Result<> move_in(const UniqueFd& copy, const UniqueFd& target) {
  TRY(const bool still_empty, is_empty(target));
  if (!still_empty) return {};
  std::vector<std::string> names;
  CHECK(read_dir(copy, [&](std::string_view name, unsigned char) { names.emplace_back(name); }));
  for (const auto& name : names) {
    if (at::move(copy, name, target, name, RENAME_NOREPLACE) != 0 && errno != EEXIST)
      return sys_error("put {} into the volume", name);
  }
  return copy_directory_metadata(copy, target);
}

// Never in place: a container that has the volume could exchange what is being written to.
Result<> fill_from(const MergedEntry& from, const Fill& fill, const UniqueFd& target) {
  TRY(const auto place, place_of(fill, target));
  CHECK(remove_in(place.parent, place.name));  // of a daemon that was killed
  TRY(const bool empty, is_empty(target));
  if (!empty) return {};
  if (at::make_dir(place.parent, place.name, 0700) != 0) return sys_error("make {}", place.name);
  auto done = copy_tree(from, place.parent, place.name);
  if (done) done = fail_point("volume.fill");
  if (done && fill.swap) {
    if (at::move(place.parent, place.name, place.parent, kData, 0) == 0) return {};
    done = sys_error("name the data");
  } else if (done) {
    const UniqueFd copy = at::open_dir(place.parent, place.name);
    done = copy ? move_in(copy, target) : sys_error("open {}", place.name);
  }
  // What stays goes with the next fill.
  if (auto gone = remove_in(place.parent, place.name); !gone)
    log::warn("a copy stays volume={} reason={}", base_name(fill.dir), gone.error().message);
  return done;
}

Result<> fill_volume(const Fill& fill) {
  const auto from = lookup_path(fill.layers, fill.path);
  if (!from && from.error().code != Errc::not_found) return std::unexpected(from.error());
  const bool has_files = from && !from->dirs.empty();
  if (!has_files && fill.subpath.empty()) return {};
  if (auto there = look_at_device(join_path(fill.dir, kData), fill.mount); !there)
    return std::unexpected(there.error().within("error while mounting volume '{}'", fill.data));
  TRY(const auto target, open_target(fill));
  if (!target || !has_files) return {};
  const UniqueFd readable = at::reopen(target);
  if (!readable) return sys_error("open {}", fill.data);
  return fill_from(*from, fill, readable);
}

Result<bool> is_mount_point(const std::string& dir) {
  struct statx st {};
  if (::statx(AT_FDCWD, dir.c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) != 0)
    return sys_error("look at {}", dir);
  return (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<> mount_tmpfs(const std::string& dir, const VolumeMount& what) {
  TRY(const auto mounted, is_mount_point(dir));
  if (mounted) return {};
  const auto flags = mount_flags(what.flags);
  if (::mount(what.device.c_str(), dir.c_str(), "tmpfs", flags, what.data.c_str()) == 0) return {};
  return sys_error("failed to mount local volume: mount {}:{}{}{}", what.device, dir,
                   flags == 0 ? "" : fmt::format(", flags: {:#x}", flags),
                   what.data.empty() ? "" : ", data: " + what.data);
}

// Containers that have it bound keep what is in it; nobody new finds it.
Result<> unmount_tmpfs(const std::string& dir) {
  const auto mounted = is_mount_point(dir);
  if (!mounted || !*mounted) return {};
  if (::umount2(dir.c_str(), MNT_DETACH) != 0) return sys_error("unmount {}", dir);
  return {};
}

}  // namespace

VolumeStore::VolumeStore(asio::io_context& io, Workers& workers, Trash& trash,
                         std::string volumes_dir)
    : io_(io), workers_(workers), trash_(trash), dir_(std::move(volumes_dir)), changes_(io) {}

std::string VolumeStore::data_dir(const Volume& v) const {
  const auto mount = mount_of(v);
  return mount.kind == Kind::bind ? mount.device : dir_ + "/" + v.name + "/_data";
}

bool Volume::needs_mount() const { return mount_of(*this).kind == Kind::tmpfs; }

std::vector<std::string> Volume::attributes() const {
  auto mount = mount_of(*this);
  if (mount.kind != Kind::bind) return {};  // a tmpfs has them itself
  std::erase_if(mount.flags, [](const std::string& word) { return word == "sync"; });
  return mount.flags;
}

Result<std::vector<Damaged>> VolumeStore::load() {
  return load_records<VolumeRecord>(
      dir_, kVolumeFile, trash_, [this](const std::string& name, VolumeRecord record) -> Result<> {
        if (record.volume.name != name)
          return fail(Errc::internal, "it names another volume, {}", record.volume.name);
        record.volume.mountpoint = data_dir(record.volume);
        entries_[name] = std::make_shared<Entry>(std::move(record), io_);
        return {};
      });
}

std::vector<Volume> VolumeStore::list() const {
  std::vector<Volume> out;
  for (const auto& [name, entry] : entries_) out.push_back(entry->record.volume);
  return out;
}

Result<Volume> VolumeStore::find(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return fail(Errc::not_found, "get {}: no such volume", name);
  return found->second->record.volume;
}

Task<Volume> VolumeStore::create(std::string name, std::map<std::string, std::string> labels,
                                 std::map<std::string, std::string> options) {
  VolumeRecord record;
  record.volume.anonymous = name.empty();
  record.volume.name = name.empty() ? random_id() : std::move(name);
  record.volume.labels = std::move(labels);
  if (record.volume.anonymous) record.volume.labels.try_emplace("com.docker.volume.anonymous", "");
  CO_CHECK(check_volume_name(record.volume.name));
  CO_TRY(const auto mount, read_volume_options(record.volume.name, options));
  const auto lock = co_await changes_.lock();
  if (const auto found = entries_.find(record.volume.name); found != entries_.end())
    co_return found->second->record.volume;
  record.volume.options = std::move(options);
  record.volume.created = now();
  record.volume.mountpoint = data_dir(record.volume);
  auto job = [dir = dir_, record, own = mount.kind != Kind::bind] {
    return make_volume(dir, record, own);
  };
  CO_CHECK(co_await workers_.run(std::move(job)));
  Volume volume = record.volume;
  entries_[volume.name] = std::make_shared<Entry>(std::move(record), io_);
  co_return volume;
}

Task<> VolumeStore::remove(std::string name) {
  const auto lock = co_await changes_.lock();
  const auto found = entries_.find(name);
  if (found == entries_.end()) co_return fail(Errc::not_found, "get {}: no such volume", name);
  const auto entry = found->second;
  const auto quiet = co_await entry->mutex.lock();  // not while it is being filled
  CO_CHECK(fail_point("volume.remove"));
  auto job = [trash = &trash_, path = join_path(dir_, name),
              mounted = entry->record.volume.needs_mount()]() -> Result<> {
    if (mounted) CHECK(unmount_tmpfs(join_path(path, "_data")));
    return trash->take(path);
  };
  auto taken = co_await workers_.run(std::move(job));
  if (!taken) co_return std::unexpected(taken.error().within("remove {}", name));
  entries_.erase(name);
  trash_.empty();
  co_return Result<>{};
}

Result<std::shared_ptr<VolumeStore::Entry>> VolumeStore::entry_of(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return fail(Errc::not_found, "get {}: no such volume", name);
  return found->second;
}

Task<> VolumeStore::fill(VolumeFill what, std::vector<std::string> layers) {
  CO_TRY(const auto entry, entry_of(what.name));
  const auto lock = co_await entry->mutex.lock();
  CO_TRY(const auto now_there, entry_of(what.name));
  if (now_there != entry) co_return fail(Errc::not_found, "get {}: no such volume", what.name);
  const auto kind = mount_of(entry->record.volume).kind;
  if (kind == Kind::tmpfs) co_return Result<>{};
  Fill fill;
  fill.dir = join_path(dir_, what.name);
  fill.data = entry->record.volume.mountpoint;
  fill.subpath = std::move(what.subpath);
  fill.layers = std::move(layers);
  fill.path = std::move(what.path);
  fill.swap = kind == Kind::none && fill.subpath.empty() && !what.in_use;
  fill.mount = mount_of(entry->record.volume);
  auto job = [fill = std::move(fill)] { return fill_volume(fill); };
  auto filled = co_await workers_.run(std::move(job));
  if (!filled && filled.error().code != Errc::not_found)
    co_return std::unexpected(filled.error().within("fill the volume {}", what.name));
  co_return filled;
}

Task<> VolumeStore::mount(std::string name) {
  CO_TRY(const auto entry, entry_of(name));
  auto what = mount_of(entry->record.volume);
  if (what.kind == Kind::none) co_return Result<>{};
  const auto lock = co_await entry->mutex.lock();
  CO_CHECK(entry_of(name));
  auto job = [what = std::move(what), dir = dir_ + "/" + name + "/_data"]() -> Result<> {
    return what.kind == Kind::tmpfs ? mount_tmpfs(dir, what) : look_at_device(dir, what);
  };
  co_return co_await workers_.run(std::move(job));
}

Task<> VolumeStore::unmount(std::string name) {
  CO_TRY(const auto entry, entry_of(name));
  if (!entry->record.volume.needs_mount()) co_return Result<>{};
  const auto lock = co_await entry->mutex.lock();
  auto job = [dir = dir_ + "/" + name + "/_data"] { return unmount_tmpfs(dir); };
  co_return co_await workers_.run(std::move(job));
}

std::vector<std::string> VolumeStore::mounted() const {
  std::vector<std::string> out;
  for (const auto& [name, entry] : entries_) {
    if (!entry->record.volume.needs_mount()) continue;
    const auto mounted = is_mount_point(entry->record.volume.mountpoint);
    if (mounted && *mounted) out.push_back(name);
  }
  return out;
}

}  // namespace coracle::storage
