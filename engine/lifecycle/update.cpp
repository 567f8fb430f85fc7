// update: limits and the restart policy of a container that exists. The record is on disk before
// the answer; a policy counts from the container's next end.
#include "engine/face/update.hpp"

#include "engine/base/json.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/request/validate.hpp"
#include "engine/spec/modes.hpp"

namespace coracle {
namespace {

Result<> check_policy(const RestartPolicy& policy, const HostConfig& now) {
  HostConfig asked;
  asked.restart_policy = policy;
  CHECK(validate(ContainerConfig{}, asked, 1));
  if (now.auto_remove && parse_restart_kind(policy.name) != RestartKind::no)
    return fail(Errc::conflict,
                "Restart policy cannot be updated because AutoRemove is enabled for the container");
  return {};
}

}  // namespace

Task<std::vector<std::string>> Lifecycle::update(ContainerPtr c, ContainerUpdate update) {
  HostConfig limits;
  limits.resources = std::move(update.resources);
  CO_CHECK(validate(ContainerConfig{}, limits, context_.host.cpus));
  const auto lock = co_await c->mutex.lock();
  CO_CHECK(c->permits(Operation::update));
  ContainerRecord record = c->record;
  if (const auto& policy = update.restart_policy; policy && !policy->name.empty()) {
    if (auto ok = check_policy(*policy, record.host); !ok)
      co_return std::unexpected(ok.error().within("Cannot update container {}", c->id()));
    record.host.restart_policy = *policy;
  }
  // What this host cannot enforce is taken away here, and is not stored as if it held.
  auto warnings = discard_limits(limits);
  auto job = [store = context_.store, id = c->id(), text = json::to_text(record)] {
    return store.write_record(id, text);
  };
  auto written = co_await context_.workers.run(std::move(job));
  if (!written)
    co_return std::unexpected(written.error().within("Cannot update container {}", c->id()));
  c->record.host.restart_policy = std::move(record.host.restart_policy);
  announce(*context_.events, *c, "update");
  co_return warnings;
}

}  // namespace coracle
