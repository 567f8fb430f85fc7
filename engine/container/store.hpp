// A directory a container: data_root/containers/<id>/{config.json,state.json,exit.json,hosts,
// hostname,resolv.conf,<id>-json.log,bundle/config.json}, and exec_root/containers/<id>/ for what a
// reboot may take (the monitor's socket). A container exists when its directory holds config.json;
// removal is a rename into data_root/trash.
#pragma once

#include <string>
#include <vector>

#include "engine/container/record.hpp"

namespace coracle {

// In a container's run directory while a commit has it paused: a daemon that finds it resumes the
// container, since the one that was to do it has ended.
constexpr const char* kPausedByCommitName = "paused-by-commit";

class Store {
 public:
  Store(std::string data_root, std::string exec_root)
      : data_(std::move(data_root)), exec_(std::move(exec_root)) {}

  [[nodiscard]] std::string dir(const std::string& id) const { return data_ + "/containers/" + id; }
  [[nodiscard]] std::string run_dir(const std::string& id) const {
    return exec_ + "/containers/" + id;
  }
  [[nodiscard]] std::string bundle(const std::string& id) const { return dir(id) + "/bundle"; }
  [[nodiscard]] std::string file(const std::string& id, const char* name) const {
    return dir(id) + "/" + name;
  }

  // Makes both roots' folders.
  [[nodiscard]] Result<> prepare() const;
  // Durable when it answers. Blocks: for a worker. A record is given as text, so that nothing is
  // shared with the loop.
  [[nodiscard]] Result<> write_record(const std::string& id, const std::string& text) const;
  // The two halves of it, for a new container: with the second it exists, so all else that belongs
  // to it is there before.
  [[nodiscard]] Result<> stage_record(const std::string& id, const std::string& text) const;
  [[nodiscard]] Result<> publish_record(const std::string& id) const;
  // Survives a kill of the daemon; no wait for the disk.
  [[nodiscard]] Result<> save_state(const std::string& id, const StateRecord& state) const;
  // The container's directory becomes trash, in one step. One that is gone is fine.
  [[nodiscard]] Result<> discard(const std::string& id) const;
  // Blocks: for a worker.
  void empty_trash() const;

  struct Loaded {
    ContainerRecord record;  // at least the id
    StateRecord state;
    std::string damage;  // which file could not be read, and why
  };
  // Every container there is. Half-made ones (no config.json) become trash.
  [[nodiscard]] Result<std::vector<Loaded>> load() const;

 private:
  std::string data_, exec_;
};

}  // namespace coracle
