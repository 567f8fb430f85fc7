// Volumes: volumes/<name>/ with volume.json and _data/. The directory gets its name once it is
// whole; removal is a rename into the trash.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/async.hpp"
#include "engine/base/result.hpp"
#include "storage/storage.hpp"
#include "storage/trash.hpp"

namespace coracle::storage {

// volumes/<name>/volume.json
struct VolumeRecord {
  Volume volume;        // `mountpoint` is not read back: it follows from where the store lies
  bool filled = false;  // from an image, or found in use: never again
};
void describe(auto& field, VolumeRecord& r) { field("volume", r.volume)("filled", r.filled); }

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
  // Options of the local driver: type, o, device. {type: none, o: bind, device: /path} makes a
  // volume whose mountpoint is that directory of the host.
  //   errors  invalid_argument (name, options), unsupported (tmpfs, nfs, block devices)
  Task<Volume> create(std::string name, std::map<std::string, std::string> labels,
                      std::map<std::string, std::string> options);
  Task<> remove(std::string name);  // errors: not_found
  // Fills an empty volume once from `path` in an image; `layers`: its layer directories, topmost
  // first, which the caller keeps meanwhile. A path that the image has not, or that is no
  // directory, leaves it empty.
  Task<> fill(std::string name, std::vector<std::string> layers, std::string path);

 private:
  struct Entry {
    VolumeRecord record;
    Turns turns;  // one fill at a time
    Entry(VolumeRecord r, asio::io_context& io) : record(std::move(r)), turns(io) {}
  };
  [[nodiscard]] std::string data_dir(const Volume& v) const;

  asio::io_context& io_;
  Workers& workers_;
  Trash& trash_;
  std::string dir_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  Turns changes_;  // create and remove, one at a time
};

}  // namespace coracle::storage
