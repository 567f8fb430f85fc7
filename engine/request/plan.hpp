// create: what was asked for, merged with the image and decided to the last default. Pure: all that
// is asked of the world stands in PlanWorld.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/container/record.hpp"
#include "engine/face/config.hpp"
#include "engine/face/create.hpp"
#include "engine/request/links.hpp"
#include "engine/spec/seccomp_profile.hpp"
#include "storage/images/image.hpp"

namespace coracle {

struct PlanWorld {
  std::string id;  // the new container's
  Time now;
  const storage::Image* image = nullptr;
  const std::map<std::string, std::string>* network_ids = nullptr;  // name -> id
  const LogConfig* log = nullptr;                                   // the daemon's
  ContainerDefaults defaults;
  std::string host_name;
  std::string data_root;
  std::int32_t cpus = 1;
  SeccompTarget seccomp;
  std::map<std::string, std::uint64_t> hard_limits;  // "RLIMIT_NOFILE"
  bool selinux = false;
  FindRecord container;
  // errors  not_found "No such image: X"
  std::function<Result<storage::Image>(const std::string& name)> image_named;
};

struct Planned {
  ContainerRecord record;  // without a name
  std::vector<std::string> warnings;
};

// What the specification could not say is refused here, not at the start.
//   errors  Docker's texts: invalid_argument; not_found alone for the image of a mount
Result<Planned> plan_container(const CreateRequest& request, const PlanWorld& world);

}  // namespace coracle
