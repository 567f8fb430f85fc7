// What a start needs to know of the system, put together for spec/generate and the monitor: mounts
// with their sources, devices, namespaces of other containers.
#pragma once

#include <string>
#include <vector>

#include "engine/container/container.hpp"
#include "engine/context.hpp"
#include "engine/spec/generate.hpp"

namespace coracle {

// On the loop; makes and looks at no files but volumes' sub paths and /dev.
//   errors  conflict: a container whose namespaces are joined does not run; not_found; …
Result<GenerateInput> generate_input(const Context& context, const Container& c);

// What is bound over /etc/…; with another's network, that one's.   errors  not_found: it is gone
struct EtcPaths {
  std::string hosts, hostname, resolv_conf;
};
Result<EtcPaths> etc_paths(const Store& store, const ContainerTable& containers,
                           const Container& c);

// The container's own mounts with their sources, as generate_input() has them.
Result<std::vector<ResolvedMount>> resolve_mounts(const EngineConfig& config,
                                                  const storage::Storage& storage,
                                                  const Container& c);

}  // namespace coracle
