#include "engine/container/state.hpp"

namespace coracle {
namespace {

std::unexpected<Error> conflict_text(Operation what, Status now, const std::string& id,
                                     const std::string& name) {
  const auto c = Errc::conflict;
  if (now == Status::removing) {
    if (what == Operation::remove)
      return fail(c, "removal of container {} is already in progress", name);
    if (what == Operation::start)
      return fail(c, "container is marked for removal and cannot be started");
    if (what == Operation::update)
      return fail(c,
                  "Cannot update container {}: container is marked for removal and cannot be "
                  "\"update\"",
                  id);
    return fail(c, "container {} is marked for removal", id);
  }
  switch (what) {
    case Operation::start:
      if (now == Status::paused)
        return fail(c, "cannot start a paused container, try unpause instead");
      return fail(c, "container is marked for removal and cannot be started");
    case Operation::exec:
      if (now == Status::paused)
        return fail(c, "Container {} is paused, unpause the container before exec", id);
      if (now == Status::restarting)
        return fail(c, "Container {} is restarting, wait until the container is running", id);
      return fail(c, "container {} is not running", id);
    case Operation::attach:
      if (now == Status::paused)
        return fail(c, "container {} is paused, unpause the container before attach", id);
      return fail(c, "container {} is restarting, wait until the container is running", id);
    case Operation::pause:
      if (now == Status::paused) return fail(c, "Container {} is already paused", id);
      if (now == Status::restarting)
        return fail(c, "Container {} is restarting, wait until the container is running", id);
      return fail(c, "Container {} is not running", id);
    case Operation::unpause:
      if (now == Status::running || now == Status::restarting)
        return fail(c, "Container {} is not paused", id);
      return fail(c, "Container {} is not running", id);
    case Operation::update:
      return fail(c,
                  "Cannot update container {}: container is marked for removal and cannot be "
                  "\"update\"",
                  id);
    case Operation::remove:
      if (now == Status::paused)
        return fail(c,
                    "cannot remove container \"{}\": container is paused and must be unpaused "
                    "first",
                    name);
      return fail(c,
                  "cannot remove container \"{}\": container is {}: stop the container before "
                  "removing or force remove",
                  name, name_of(now));
    case Operation::rename: return fail(c, "container {} is dead and cannot be renamed", id);
    case Operation::stop:
    case Operation::kill:
    case Operation::resize: break;
  }
  return fail(c, "container {} is not running", id);
}

}  // namespace

Result<> permit(Operation what, Status now, const std::string& id, const std::string& name) {
  switch (may(what, now)) {
    case Verdict::go: return {};
    case Verdict::unchanged: return fail(Errc::unchanged, "container {} is {}", name, name_of(now));
    case Verdict::conflict: break;
  }
  return conflict_text(what, now, id, name);
}

}  // namespace coracle
