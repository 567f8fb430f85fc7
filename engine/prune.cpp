#include "engine/prune.hpp"

#include <algorithm>

#include "engine/base/async/own_thread.hpp"
#include "engine/base/defer.hpp"
#include "engine/base/log.hpp"
#include "engine/base/text.hpp"
#include "engine/inspect/disk_usage.hpp"
#include "engine/inspect/list.hpp"
#include "engine/request/filter.hpp"
#include "engine/request/image_rules.hpp"
#include "engine/request/until.hpp"

namespace coracle {
namespace {

std::unexpected<Error> already_running() {
  return fail(Errc::conflict, "a prune operation is already running");
}

void append_removed(storage::Removed& to, const storage::Removed& more) {
  to.untagged.insert(to.untagged.end(), more.untagged.begin(), more.untagged.end());
  to.deleted.insert(to.deleted.end(), more.deleted.begin(), more.deleted.end());
}

}  // namespace

bool PruneRule::takes(Time created, const std::map<std::string, std::string>& labels_of) const {
  if (before.ns != 0 && created > before) return false;
  const auto has = [&](const std::string& label) { return has_label(labels_of, label); };
  if (!std::ranges::all_of(labels, has)) return false;
  return not_labels.empty() || !std::ranges::all_of(not_labels, has);
}

Result<PruneRule> prune_rule(const Filters& filters, Time at) {
  PruneRule rule;
  if (const auto found = filters.find("until"); found != filters.end() && !found->second.empty()) {
    if (found->second.size() > 1)
      return fail(Errc::invalid_argument, "more than one until filter specified");
    TRY(rule.before, parse_until(found->second[0], at));
  }
  if (const auto found = filters.find("label"); found != filters.end()) rule.labels = found->second;
  if (const auto found = filters.find("label!"); found != filters.end())
    rule.not_labels = found->second;
  return rule;
}

Task<Pruned> Prune::containers(Filters filters) {
  return context_.owned("prune containers", prune_containers(std::move(filters)));
}

Task<PrunedImages> Prune::images(Filters filters) {
  return context_.owned("prune images", prune_images(std::move(filters)));
}

Task<Pruned> Prune::volumes(Filters filters) {
  return context_.owned("prune volumes", prune_volumes(std::move(filters)));
}

Task<Pruned> Prune::prune_containers(Filters filters) {
  if (containers_run_) co_return already_running();
  containers_run_ = true;
  const Defer over([this] { containers_run_ = false; });
  CO_TRY(const auto rule, prune_rule(filters, now()));
  std::vector<std::string> ids;
  for (const auto& [id, c] : context_.table.all()) {
    const auto status = c->status();
    if (is_alive(status) || status == Status::restarting || status == Status::removing) continue;
    if (rule.takes(c->record.created, c->record.config.labels)) ids.push_back(id);
  }
  auto asked = ids;
  CO_TRY(const auto sizes, co_await container_sizes(context_, std::move(asked)));
  Pruned pruned;
  for (const auto& id : ids) {
    auto c = context_.table.find(id);
    // Removed or started meanwhile: not ours to take.
    if (!c) continue;
    auto gone = co_await life_.remove(*std::move(c), false, false);
    if (!gone) {
      log::warn("container not pruned id={} reason={}", id, gone.error().message);
      continue;
    }
    pruned.deleted.push_back(id);
    const auto size = sizes.find(id);
    if (size != sizes.end()) pruned.reclaimed += size->second.rw;
  }
  announce(*context_.events, "container", "prune", "",
           {{"reclaimed", std::to_string(pruned.reclaimed)}});
  co_return pruned;
}

Task<PrunedImages> Prune::prune_images(Filters filters) {
  if (images_run_) co_return already_running();
  images_run_ = true;
  const Defer over([this] { images_run_ = false; });
  CO_TRY(const auto rule, prune_rule(filters, now()));
  CO_TRY(const auto dangling, switch_of(filters, "dangling"));
  const bool only_nameless = dangling.value_or(true);
  const auto all = context_.storage->images();
  const auto before = sums_of(*context_.storage, context_.table).total();
  PrunedImages pruned;
  for (const auto& image : all) {
    if (only_nameless && !image.repo_tags.empty()) continue;
    const auto is_child = [&](const auto& other) { return other.parent == image.id; };
    if (only_nameless && std::ranges::any_of(all, is_child)) continue;
    if (!rule.takes(image.created, image.config.labels)) continue;
    const bool used = images_.is_used(image.id);
    for (const auto& name : pruned_names(image, used)) {
      // It may be another image's by now.
      const auto still = images_.find(name);
      if (!still || still->id != image.id) continue;
      auto gone = co_await images_.remove(name, !used);
      if (gone)
        append_removed(pruned.removed, *gone);
      else
        log::warn("image not pruned name={} reason={}", name, gone.error().message);
    }
  }
  pruned.reclaimed =
      std::max<std::int64_t>(0, before - sums_of(*context_.storage, context_.table).total());
  announce(*context_.events, "image", "prune", "",
           {{"reclaimed", std::to_string(pruned.reclaimed)}});
  co_return pruned;
}

Task<Pruned> Prune::prune_volumes(Filters filters) {
  if (volumes_run_) co_return already_running();
  volumes_run_ = true;
  const Defer over([this] { volumes_run_ = false; });
  CO_TRY(const auto rule, prune_rule(filters, now()));
  CO_TRY(const auto all, switch_of(filters, "all"));
  Pruned pruned;
  for (const auto& volume : context_.storage->volumes()) {
    if (!all.value_or(false) && !volume.anonymous) continue;
    if (!rule.takes(volume.created, volume.labels)) continue;
    if (containers_with_volume(context_.table, volume.name) != 0) continue;
    auto job = [path = volume.mountpoint] { return tree_size(path); };
    ThreadOwner owner{Lane::trees, "volumes"};
    const auto size = co_await run_on_thread(context_.io, std::move(job), std::move(owner));
    // It asks again who uses it: a container may have taken it during the walk.
    auto gone = co_await volumes_.remove_unused(volume.name, false);
    if (!gone) {
      if (gone.error().code != Errc::conflict)
        log::warn("volume not pruned name={} reason={}", volume.name, gone.error().message);
      continue;
    }
    pruned.deleted.push_back(volume.name);
    if (size) pruned.reclaimed += *size;
  }
  announce(*context_.events, "volume", "prune", "",
           {{"reclaimed", std::to_string(pruned.reclaimed)}});
  co_return pruned;
}

}  // namespace coracle
