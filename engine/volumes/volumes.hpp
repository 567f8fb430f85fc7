// Volumes: who uses them, and who is told.
//
// A container uses a volume from its creation to its removal (nobody can remove it meanwhile), and
// has it mounted from before its start to after its end (lifecycle/run_events tells it): what has
// to be mounted by us (tmpfs) is so as long as one container has it.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/context.hpp"
#include "engine/face/volumes.hpp"
#include "engine/request/filter.hpp"

namespace coracle {

class Volumes final : public face::Volumes {
 public:
  struct Made {
    storage::Volume volume;
    bool is_new = false;
  };
  // Keeps a container's volumes from being removed while it is in no table yet.
  class Claims {
   public:
    Claims(Volumes& volumes, std::string container_id)
        : volumes_(volumes), id_(std::move(container_id)) {}
    Claims(const Claims&) = delete;
    Claims& operator=(const Claims&) = delete;
    ~Claims();
    void add(const std::string& volume) { volumes_.claimed_[volume].insert(id_); }

   private:
    Volumes& volumes_;
    std::string id_;
  };

  explicit Volumes(Context& context)
      : context_(context), changing_(context.io), mounting_(context.io) {}

  [[nodiscard]] Result<std::vector<storage::Volume>> list(const Filters& filters) const override;
  [[nodiscard]] Result<storage::Volume> find(const std::string& name) const override;
  Task<storage::Volume> create(std::string name, std::string driver,
                               std::map<std::string, std::string> options,
                               std::map<std::string, std::string> labels) override;
  Task<> remove(std::string name, bool force) override;

  // The same as create and remove, in the scope of who asks.
  Task<Made> make(std::string name, std::string driver, std::map<std::string, std::string> options,
                  std::map<std::string, std::string> labels);
  Task<> remove_unused(std::string name, bool force);
  // Removes it unless another container than `container_id` uses it.
  Task<> discard(std::string name, std::string container_id);

  // Ids of the containers that use it, whatever their state.
  [[nodiscard]] std::vector<std::string> users(const std::string& name) const;
  // Has a container that runs (or starts, or ends) it?
  [[nodiscard]] bool is_mounted(const std::string& name) const { return mounted_.contains(name); }

  // Before a start; what was mounted when one fails is given up by unmount().
  //   errors  Docker's "error while mounting volume '…': …"
  Task<> mount(ContainerPtr c);
  // After an end, or a start that came to nothing.
  Coro<void> unmount(ContainerPtr c);
  // A container that was found running has its volumes mounted.
  void adopt(const Container& c);
  // At the start, once all are adopted: what is mounted and used by nobody is unmounted.
  Coro<void> reconcile();

 private:
  [[nodiscard]] bool matches(const storage::Volume& v, const Filters& filters,
                             const NameFilter& names) const;
  Task<storage::Volume> create_now(std::string name, std::string driver,
                                   std::map<std::string, std::string> options,
                                   std::map<std::string, std::string> labels);
  Task<> remove_now(storage::Volume volume);
  Task<> mount_one(std::string name, std::string source);
  Coro<void> unmount_if_unused(std::string name);

  Context& context_;
  // By volume: containers that have it mounted, from before their start until after their end.
  std::map<std::string, std::set<std::string>> mounted_;
  // By volume: containers that are being created with it, and are in no table yet.
  std::map<std::string, std::set<std::string>> claimed_;
  AsyncMutex changing_;  // create and remove: a volume is not removed while somebody is given it
  AsyncMutex mounting_;  // mount(2), umount(2), and the decision for them
};

}  // namespace coracle
