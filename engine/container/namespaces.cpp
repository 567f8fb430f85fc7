#include "engine/container/namespaces.hpp"

#include <fcntl.h>

#include <fmt/format.h>

namespace coracle {

Result<UniqueFd> open_netns_of(const ContainerTable& containers, const std::string& id) {
  TRY(const auto other, containers.find(id));
  auto* running = other->running();
  const auto process = running == nullptr ? Result<Pidfd>(fail(Errc::not_found, ""))
                                          : Pidfd::open(running->identity.init);
  if (!process)
    return fail(Errc::conflict,
                "cannot join network namespace of a non running container: container {} is {}",
                other->name(), name_of(other->status()));
  const std::string path = fmt::format("/proc/{}/ns/net", process->pid());
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_error("open {}", path);
  // It was opened by a number: which was that process's if it lives still.
  if (process->ended())
    return fail(Errc::conflict,
                "cannot join network namespace of a non running container: container {} has ended",
                other->name());
  return fd;
}

}  // namespace coracle
