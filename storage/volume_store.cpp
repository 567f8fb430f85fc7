#include "storage/volume_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "storage/copy_tree.hpp"
#include "storage/merged_tree.hpp"

namespace coracle::storage {
namespace {

constexpr const char* kRecord = "volume.json";
constexpr const char* kNew = ".new-";

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

Result<> check_name(const std::string& name) {
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

bool has_word(const std::string& list, const std::string& word) {
  return ("," + list + ",").find("," + word + ",") != std::string::npos;
}

// The directory of the host that a bind volume stands for; "" for a volume of our own.
std::string bound_directory(const std::map<std::string, std::string>& options) {
  const auto device = options.find("device");
  return device == options.end() ? std::string{} : device->second;
}

Result<> check_options(const std::string& name, const std::map<std::string, std::string>& options) {
  for (const auto& [key, value] : options) {
    if (key != "type" && key != "o" && key != "device")
      return fail(Errc::invalid_argument, "create {}: invalid option: \"{}\"", name, key);
  }
  if (options.empty()) return {};
  const auto get = [&options](const char* key) {
    const auto found = options.find(key);
    return found == options.end() ? std::string{} : found->second;
  };
  const std::string type = get("type");
  const std::string device = get("device");
  if (type.empty())
    return fail(Errc::invalid_argument, "create {}: missing required option: \"type\"", name);
  if (device.empty())
    return fail(Errc::invalid_argument, "create {}: missing required option: \"device\"", name);
  if (type == "tmpfs") {
    return fail(Errc::unsupported,
                "create {}: volumes of type tmpfs are not supported yet; use --tmpfs or --mount "
                "type=tmpfs",
                name);
  }
  if ((type == "none" || type == "bind") &&
      (has_word(get("o"), "bind") || has_word(get("o"), "rbind"))) {
    if (!device.starts_with('/'))
      return fail(Errc::invalid_argument, "create {}: device must be an absolute path: {}", name,
                  device);
    return {};
  }
  return fail(
      Errc::unsupported,
      "create {}: a volume of type {} cannot be mounted without root (rootless); mount it on "
      "the host and use type=none, o=bind, device=/path",
      name, type);
}

Result<> make_volume(const std::string& dir, const VolumeRecord& record, bool with_data) {
  const std::string& name = record.volume.name;
  CHECK(make_dirs(dir));
  const std::string fresh = join_path(dir, kNew + random_id().substr(0, 16));
  if (::mkdir(fresh.c_str(), 0700) != 0) return sys_error("make {}", fresh);
  auto made = write_file_atomic(join_path(fresh, kRecord), json::to_text(record));
  const std::string data = join_path(fresh, "_data");
  if (made && with_data && ::mkdir(data.c_str(), 0755) != 0) made = sys_error("make {}", data);
  // Whatever the umask.
  if (made && with_data && ::chmod(data.c_str(), 0755) != 0) made = sys_error("set its mode");
  if (made) made = fail_point("volume.create");
  if (made && ::rename(fresh.c_str(), join_path(dir, name).c_str()) != 0)
    made = sys_error("name the volume");
  if (made) return sync_dir(dir);
  static_cast<void>(remove_tree(fresh));
  return std::unexpected(made.error().within("create {}", name));
}

Result<VolumeRecord> read_record(const std::string& path) {
  TRY(const auto text, read_file(path));
  return json::from_text<VolumeRecord>(text);
}

struct Fill {
  std::string data;                 // the volume's directory
  std::vector<std::string> layers;  // topmost first
  std::string path;
  std::string record_path, record_text;  // volume.json with the mark, written at the end
};

Result<> empty_directory(const std::string& dir) {
  TRY(const auto names, list_dir(dir));
  for (const auto& name : names) CHECK(remove_tree(join_path(dir, name)));
  return {};
}

Result<> fill_volume(const Fill& fill) {
  TRY(const auto names, list_dir(fill.data));
  if (names.empty()) {
    const auto from = lookup_path(fill.layers, fill.path);
    if (!from && from.error().code != Errc::not_found) return std::unexpected(from.error());
    if (from && !from->dirs.empty()) {
      if (auto copied = copy_tree(*from, fill.data); !copied) {
        // Nothing half: the next start tries again.
        static_cast<void>(empty_directory(fill.data));
        return copied;
      }
    }
  }
  return write_file_atomic(fill.record_path, fill.record_text);
}

}  // namespace

VolumeStore::VolumeStore(asio::io_context& io, Workers& workers, Trash& trash,
                         std::string volumes_dir)
    : io_(io), workers_(workers), trash_(trash), dir_(std::move(volumes_dir)), changes_(io) {}

std::string VolumeStore::data_dir(const Volume& v) const {
  const std::string bound = bound_directory(v.options);
  return bound.empty() ? dir_ + "/" + v.name + "/_data" : bound;
}

Result<std::vector<Damaged>> VolumeStore::load() {
  std::vector<Damaged> damaged;
  CHECK(make_dirs(dir_));
  TRY(const auto names, list_dir(dir_));
  for (const auto& name : names) {
    const std::string path = join_path(dir_, name);
    if (name.starts_with(kNew)) {
      CHECK(trash_.take(path));
      continue;
    }
    auto record = read_record(join_path(path, kRecord));
    if (record && record->volume.name != name)
      record = fail(Errc::internal, "it names another volume, {}", record->volume.name);
    if (!record) {
      damaged.push_back({join_path(path, kRecord), record.error().message});
      continue;
    }
    record->volume.mountpoint = data_dir(record->volume);
    entries_[name] = std::make_shared<Entry>(*std::move(record), io_);
  }
  return damaged;
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
  CO_CHECK(check_name(record.volume.name));
  CO_CHECK(check_options(record.volume.name, options));
  const auto turn = co_await changes_.take();
  if (const auto found = entries_.find(record.volume.name); found != entries_.end())
    co_return found->second->record.volume;
  record.volume.options = std::move(options);
  record.volume.created = now();
  record.volume.mountpoint = data_dir(record.volume);
  auto job = [dir = dir_, record, own = bound_directory(record.volume.options).empty()] {
    return make_volume(dir, record, own);
  };
  CO_CHECK(co_await workers_.run(std::move(job)));
  Volume volume = record.volume;
  entries_[volume.name] = std::make_shared<Entry>(std::move(record), io_);
  co_return volume;
}

Task<> VolumeStore::remove(std::string name) {
  const auto turn = co_await changes_.take();
  const auto found = entries_.find(name);
  if (found == entries_.end()) co_return fail(Errc::not_found, "get {}: no such volume", name);
  const auto entry = found->second;
  const auto quiet = co_await entry->turns.take();  // not while it is being filled
  CO_CHECK(fail_point("volume.remove"));
  auto job = [trash = &trash_, path = join_path(dir_, name)] { return trash->take(path); };
  auto taken = co_await workers_.run(std::move(job));
  if (!taken) co_return std::unexpected(taken.error().within("remove {}", name));
  entries_.erase(name);
  trash_.empty();
  co_return Result<>{};
}

Task<> VolumeStore::fill(std::string name, std::vector<std::string> layers, std::string path) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) co_return fail(Errc::not_found, "get {}: no such volume", name);
  const auto entry = found->second;
  const auto turn = co_await entry->turns.take();
  if (entry->record.filled) co_return Result<>{};
  if (const auto now_there = entries_.find(name);
      now_there == entries_.end() || now_there->second != entry)
    co_return fail(Errc::not_found, "get {}: no such volume", name);
  VolumeRecord marked = entry->record;
  marked.filled = true;
  Fill fill;
  fill.data = entry->record.volume.mountpoint;
  fill.layers = std::move(layers);
  fill.path = std::move(path);
  fill.record_path = join_path(join_path(dir_, name), kRecord);
  fill.record_text = json::to_text(marked);
  auto job = [fill = std::move(fill)] { return fill_volume(fill); };
  auto filled = co_await workers_.run(std::move(job));
  if (!filled) co_return std::unexpected(filled.error().within("fill the volume {}", name));
  entry->record = std::move(marked);
  co_return Result<>{};
}

}  // namespace coracle::storage
