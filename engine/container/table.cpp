#include "engine/container/table.hpp"

#include <algorithm>
#include <cctype>

namespace coracle {

Result<> check_container_name(const std::string& name) {
  const auto alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const bool ok = name.size() >= 2 && alnum(name[0]) && std::ranges::all_of(name, [&](char c) {
                    return alnum(c) || c == '_' || c == '.' || c == '-';
                  });
  if (!ok)
    return fail(Errc::invalid_argument,
                "Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name);
  return {};
}

Result<ContainerPtr> ContainerTable::find(const std::string& ref) const {
  if (const auto exact = by_id_.find(ref); exact != by_id_.end()) return exact->second;
  const std::string name = ref.starts_with('/') ? ref.substr(1) : ref;
  if (const auto named = by_name(name); named != by_id_.end()) return named->second;
  if (const auto slash = name.find('/'); slash != std::string::npos) {
    const auto parent = by_name(name.substr(0, slash));
    if (parent != by_id_.end()) {
      const auto linked = by_alias(*parent->second, name.substr(slash + 1));
      if (linked != by_id_.end()) return linked->second;
    }
  }
  const auto first = ref.empty() ? by_id_.end() : by_id_.lower_bound(ref);
  if (first == by_id_.end() || !first->first.starts_with(ref))
    return fail(Errc::not_found, "No such container: {}", ref);
  const auto second = std::next(first);
  if (second != by_id_.end() && second->first.starts_with(ref))
    return fail(Errc::invalid_argument, "multiple IDs found with provided prefix: {}", ref);
  return first->second;
}

ContainerTable::ById::const_iterator ContainerTable::by_name(const std::string& name) const {
  const auto named = names_.find(name);
  return named == names_.end() ? by_id_.end() : by_id_.find(named->second);
}

ContainerTable::ById::const_iterator ContainerTable::by_alias(const Container& parent,
                                                              const std::string& alias) const {
  // As create has written them: "ID:alias".
  for (const auto& text : parent.record.host.links) {
    const auto colon = text.find(':');
    if (colon != std::string::npos && text.substr(colon + 1) == alias)
      return by_id_.find(text.substr(0, colon));
  }
  return by_id_.end();
}

Result<> ContainerTable::take_name(const std::string& name, const std::string& id) {
  const auto [at, taken] = names_.emplace(name, id);
  if (taken || at->second == id) return {};
  return fail(Errc::conflict,
              "Conflict. The container name \"/{}\" is already in use by container \"{}\". You "
              "have to remove (or rename) that container to be able to reuse that name.",
              name, at->second);
}

void ContainerTable::free_name(const std::string& name, const std::string& id) {
  const auto found = names_.find(name);
  if (found != names_.end() && found->second == id) names_.erase(found);
}

std::string ContainerTable::take_random_name(const std::string& id) {
  for (int tries = 0;; ++tries) {
    std::string name = random_name();
    // The pool is finite; a digit or more of the id makes it unique.
    if (tries > 5) name += "_" + id.substr(0, static_cast<std::size_t>(std::min(tries - 5, 64)));
    if (names_.emplace(name, id).second) return name;
  }
}

void ContainerTable::add(ContainerPtr container) {
  const auto& id = container->id();
  note_links(*container);
  by_id_[id] = std::move(container);
}

void ContainerTable::remove(const Container& container) {
  free_name(container.name(), container.id());
  const std::string id = container.id();
  by_id_.erase(id);
  links_.erase(id);
  for (auto& [child, by] : links_)
    std::erase_if(by, [&](const auto& link) { return link.first == id; });
}

void ContainerTable::note_links(const Container& c) {
  for (auto& [child, by] : links_)
    std::erase_if(by, [&](const auto& link) { return link.first == c.id(); });
  // As create has written them: "ID:alias".
  for (const auto& text : c.record.host.links) {
    const auto colon = text.find(':');
    if (colon != std::string::npos)
      links_[text.substr(0, colon)].emplace(c.id(), text.substr(colon + 1));
  }
}

std::vector<std::string> ContainerTable::links_to(const std::string& id) const {
  std::vector<std::string> out;
  const auto found = links_.find(id);
  if (found == links_.end()) return out;
  for (const auto& [by, alias] : found->second) {
    const auto parent = by_id_.find(by);
    if (parent != by_id_.end()) out.push_back(parent->second->name() + "/" + alias);
  }
  return out;
}

}  // namespace coracle
