#include "engine/inspect/list.hpp"

#include <algorithm>
#include <map>

#include "engine/inspect/list_filter.hpp"
#include "engine/inspect/view.hpp"

namespace coracle {
namespace {

// Which images are one of those that are wanted, or built on one; asked once an image.
class Ancestors {
 public:
  Ancestors(const storage::Storage& storage, const Filters& filters) : storage_(storage) {
    const auto found = filters.find("ancestor");
    if (found == filters.end()) return;
    wanted_ = found->second;
    for (const auto& name : wanted_) {
      if (auto image = storage.find(name)) images_.push_back(*std::move(image));
    }
  }
  bool has(const ContainerView& v) {
    if (wanted_.empty() || std::ranges::find(wanted_, v.config.image) != wanted_.end()) return true;
    const auto [at, is_new] = known_.try_emplace(v.image_id, false);
    if (is_new) at->second = descends(v.image_id);
    return at->second;
  }

 private:
  [[nodiscard]] bool descends(const std::string& id) const {
    const auto own = storage_.find(id);
    return std::ranges::any_of(images_, [&](const storage::Image& ancestor) {
      if (ancestor.id == id) return true;
      const auto& below = ancestor.diff_ids;
      return own && !below.empty() && own->diff_ids.size() >= below.size() &&
             std::equal(below.begin(), below.end(), own->diff_ids.begin());
    });
  }

  const storage::Storage& storage_;
  std::vector<std::string> wanted_;
  std::vector<storage::Image> images_;
  std::map<std::string, bool> known_;
};

struct TimeWindow {
  Time after{-1}, before;
};
Result<TimeWindow> window_of(const ContainerTable& containers, const Filters& filters) {
  TimeWindow w;
  for (const char* key : {"before", "since"}) {
    const auto found = filters.find(key);
    if (found == filters.end()) continue;
    for (const auto& ref : found->second) {
      TRY(const auto c, containers.find(ref));
      (std::string_view(key) == "before" ? w.before : w.after) = c->record.created;
    }
  }
  return w;
}

}  // namespace

Result<> list_containers(const Context& context, const ListOptions& options,
                         const std::function<void(const ContainerView&)>& visit) {
  CHECK(check_container_filters(options.filters));
  TRY(const auto window, window_of(context.table, options.filters));
  const bool all = options.all || options.limit > 0 || options.filters.contains("status");
  std::vector<const Container*> wanted;
  for (const auto& [id, c] : context.table.all()) {
    const auto status = c->status();
    if (!all && !is_alive(status) && status != Status::restarting) continue;
    if (c->record.created <= window.after) continue;
    if (window.before.ns != 0 && c->record.created >= window.before) continue;
    wanted.push_back(c.get());
  }
  std::ranges::stable_sort(wanted, [](const Container* a, const Container* b) {
    return a->record.created > b->record.created;
  });
  Ancestors ancestors(*context.storage, options.filters);
  const ContainerFilter filter(options.filters);
  std::int64_t shown = 0;
  for (const auto* c : wanted) {
    const auto view = view_of(context, *c, Depth::list);
    if (!filter.matches(view) || !ancestors.has(view)) continue;
    visit(view);
    if (++shown == options.limit) break;
  }
  return {};
}

}  // namespace coracle
