#include "engine/inspect/processes.hpp"

#include "engine/base/process/descendants.hpp"

namespace coracle {

Result<ProcessTree> process_tree_of(const storage::Storage& storage, Container& c) {
  if (c.status() == Status::restarting)
    return fail(Errc::conflict, "Container {} is restarting, wait until the container is running",
                c.id());
  const auto* running = c.running();
  if (running == nullptr || !is_alive(c.status()))
    return fail(Errc::conflict, "container {} is not running", c.id());
  ProcessTree tree{running->identity.monitor, running->identity.init, {}};
  if (const auto plan = storage.mount_plan(c.id())) tree.skip = plan->program;
  return tree;
}

Result<std::vector<pid_t>> processes_of(const ProcessTree& tree) {
  CHECK(Pidfd::open(tree.init));
  return descendants(tree.monitor.pid, tree.skip);
}

}  // namespace coracle
