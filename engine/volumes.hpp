// Volumes: who uses them, and who is told.
//
// A container uses a volume from its creation to its removal (nobody can remove it meanwhile), and
// has it mounted from before its start to after its end (container/run_events tells it): what has to
// be mounted by us (tmpfs) is so as long as one container has it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/parts.hpp"

namespace coracle {

//   errors  invalid_argument: an unknown filter, or a value of dangling that is no boolean
Result<std::vector<storage::Volume>> list_volumes(const Parts& parts, const Filters& filters);

struct MadeVolume {
  storage::Volume volume;
  bool is_new = false;
};
// name "": an anonymous one. One that exists is given as it is.
//   errors  invalid_argument (name, options), conflict (of another driver), not_found (no such
//           driver)
Task<MadeVolume> make_volume(Parts& parts, std::string name, std::string driver,
                             std::map<std::string, std::string> options,
                             std::map<std::string, std::string> labels);
// The same as the engine's face has it.
Task<storage::Volume> create_volume(Parts& parts, std::string name, std::string driver,
                                    std::map<std::string, std::string> options,
                                    std::map<std::string, std::string> labels);
//   errors  not_found (not with force); conflict "remove X: volume is in use - [id, id]"
Task<> remove_volume(Parts& parts, std::string name, bool force);
// Removes it unless another container than `container_id` uses it.
Task<> discard_volume(Parts& parts, std::string name, std::string container_id);

// Ids of the containers that use it, whatever their state.
std::vector<std::string> users_of_volume(const Parts& parts, const std::string& name);

// Keeps a container's volumes from being removed while it is in no table yet.
class VolumeClaims {
 public:
  VolumeClaims(VolumeUsers& users, std::string container_id)
      : users_(users), id_(std::move(container_id)) {}
  VolumeClaims(const VolumeClaims&) = delete;
  VolumeClaims& operator=(const VolumeClaims&) = delete;
  ~VolumeClaims();
  void add(const std::string& volume) { users_.claimed[volume].insert(id_); }

 private:
  VolumeUsers& users_;
  std::string id_;
};

// Before a start; what was mounted when one fails is given up by unmount_volumes.
//   errors  Docker's "error while mounting volume '…': …"
Task<> mount_volumes(Parts& parts, std::shared_ptr<Container> c);
// After an end, or a start that came to nothing.
Coro<void> unmount_volumes(Parts& parts, std::shared_ptr<Container> c);
// A container that was found running has its volumes mounted.
void adopt_volumes(Parts& parts, const Container& c);
// At the start, once all are adopted: what is mounted and used by nobody is unmounted.
Coro<void> look_through_volumes(Parts& parts);

}  // namespace coracle
