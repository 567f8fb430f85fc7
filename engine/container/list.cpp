#include "engine/container/list.hpp"

#include <algorithm>

#include "engine/container/list_filter.hpp"
#include "engine/container/view.hpp"

namespace coracle {
namespace {

// The image, or one that is built on it.
bool descends_from(const Parts& p, const ContainerView& v, const std::string& wanted) {
  if (v.config.image == wanted) return true;
  const auto ancestor = p.storage->find(wanted);
  if (!ancestor) return false;
  if (ancestor->id == v.image_id) return true;
  const auto own = p.storage->find(v.image_id);
  if (!own || ancestor->diff_ids.empty() || own->diff_ids.size() < ancestor->diff_ids.size())
    return false;
  return std::equal(ancestor->diff_ids.begin(), ancestor->diff_ids.end(), own->diff_ids.begin());
}

struct TimeWindow {
  Time after{-1}, before;
};
Result<TimeWindow> window_of(const Parts& p, const Filters& filters) {
  TimeWindow w;
  for (const char* key : {"before", "since"}) {
    const auto found = filters.find(key);
    if (found == filters.end()) continue;
    for (const auto& ref : found->second) {
      TRY(const auto c, p.table.find(ref));
      (std::string_view(key) == "before" ? w.before : w.after) = c->record.created;
    }
  }
  return w;
}

}  // namespace

Result<std::vector<ContainerView>> list_containers(const Parts& p, const ListOptions& options) {
  CHECK(check_container_filters(options.filters));
  TRY(const auto window, window_of(p, options.filters));
  const bool all = options.all || options.limit > 0 || options.filters.contains("status");
  std::vector<const Container*> wanted;
  for (const auto& [id, c] : p.table.all()) {
    const auto status = c->status();
    if (!all && !is_alive(status) && status != Status::restarting) continue;
    if (c->record.created <= window.after) continue;
    if (window.before.ns != 0 && c->record.created >= window.before) continue;
    wanted.push_back(c.get());
  }
  std::ranges::stable_sort(wanted, [](const Container* a, const Container* b) {
    return a->record.created > b->record.created;
  });
  const auto ancestors = options.filters.find("ancestor");
  const ContainerFilter filter(options.filters);
  std::vector<ContainerView> out;
  out.reserve(wanted.size());
  for (const auto* c : wanted) {
    auto view = view_of(p, *c, Depth::list);
    if (!filter.matches(view)) continue;
    if (ancestors != options.filters.end() && !ancestors->second.empty() &&
        std::ranges::none_of(ancestors->second,
                             [&](const auto& a) { return descends_from(p, view, a); }))
      continue;
    out.push_back(std::move(view));
    if (options.limit > 0 && out.size() == static_cast<std::size_t>(options.limit)) break;
  }
  return out;
}

}  // namespace coracle
