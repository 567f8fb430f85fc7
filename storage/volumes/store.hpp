// Volumes: volumes/<name>/ with volume.json and _data/. The directory gets its name once it is
// whole; removal is a rename into the trash.
//
// A volume of type tmpfs is mounted on its _data/ in this process's mount namespace, the keeper's:
// one mount for all its containers, which bind it and are not troubled by a restart of the daemon.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/content/damaged.hpp"
#include "storage/content/trash.hpp"
#include "storage/volumes/volume.hpp"

namespace coracle::storage {

// volumes/<name>/volume.json
struct VolumeRecord {
  Volume volume;  // `mountpoint` is not read back: it follows from where the store lies
};
void describe(auto& field, VolumeRecord& r) { field("volume", r.volume); }

// On the loop's thread; file work goes to the workers.
class VolumeStore {
 public:
  VolumeStore(asio::io_context& io, Workers& workers, Trash& trash, std::string volumes_dir);

  // Reads all records, removes half-made ones. Blocking, once. Returns what was left out.
  Result<std::vector<Damaged>> load();

  [[nodiscard]] std::vector<Volume> list() const;  // by name
  // errors: not_found "get X: no such volume"
  [[nodiscard]] Result<Volume> find(const std::string& name) const;
  // name "" makes an anonymous one of 64 hex. An existing one is returned as it is.
  // Options of the local driver: volume_options.hpp.
  //   errors  invalid_argument (name, options), unsupported (nfs, block devices, …)
  Task<Volume> create(std::string name, std::map<std::string, std::string> labels,
                      std::map<std::string, std::string> options);
  Task<> remove(std::string name);  // errors: not_found
  // As Storage's fill_volume; `layers`: the image's layer directories, topmost first, which the
  // caller keeps meanwhile.
  Task<> fill(VolumeFill what, std::vector<std::string> layers);
  // As Storage's.
  Task<> mount(std::string name);
  Task<> unmount(std::string name);
  [[nodiscard]] std::vector<std::string> mounted() const;

 private:
  struct Entry {
    VolumeRecord record;
    AsyncMutex mutex;  // one fill, mount or removal at a time
    Entry(VolumeRecord r, asio::io_context& io) : record(std::move(r)), mutex(io) {}
  };
  [[nodiscard]] std::string data_dir(const Volume& v) const;
  [[nodiscard]] Result<std::shared_ptr<Entry>> entry_of(const std::string& name) const;

  asio::io_context& io_;
  Workers& workers_;
  Trash& trash_;
  std::string dir_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  AsyncMutex changes_;  // create and remove, one at a time
};

}  // namespace coracle::storage
