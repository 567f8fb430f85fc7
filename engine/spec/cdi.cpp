#include "engine/spec/cdi.hpp"

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "engine/base/path.hpp"

namespace coracle::cdi {
namespace {

bool is_word(const std::string& text, const char* also) {
  const auto alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  return !text.empty() && alnum(text.front()) && std::ranges::all_of(text, [&](char c) {
    return alnum(c) || std::string_view(also).find(c) != std::string_view::npos;
  });
}

struct Found {
  const Spec* spec = nullptr;
  const Device* device = nullptr;
};

Found find(const std::vector<Spec>& specs, const std::string& name) {
  const auto equal = name.find('=');
  const auto kind = name.substr(0, equal);
  const auto wanted = equal == std::string::npos ? "" : name.substr(equal + 1);
  Found found;
  for (const auto& s : specs) {
    if (s.kind != kind) continue;
    for (const auto& d : s.devices)
      if (d.name == wanted) found = {&s, &d};
  }
  return found;
}

Result<> apply(const Edits& edits, GenerateInput& into) {
  // The hooks of a vendor's tool change the container's files before it starts: without them the
  // device would be there and not work.
  if (!edits.hooks.empty())
    return fail(Errc::unsupported,
                "CDI device injection failed: the device needs a {} hook ({}), and hooks are not "
                "run here",
                edits.hooks.front().hook_name, edits.hooks.front().path);
  into.config.env.insert(into.config.env.end(), edits.env.begin(), edits.env.end());
  for (const auto& d : edits.device_nodes)
    into.devices.push_back({d.host_path.empty() ? d.path : d.host_path, clean_path(d.path),
                            d.permissions.empty() ? "rwm" : d.permissions});
  for (const auto& m : edits.mounts) {
    oci::Mount out{clean_path(m.container_path), m.type.empty() ? "bind" : m.type, m.host_path,
                   m.options};
    if (out.options.empty()) out.options = {"bind", "ro", "nosuid", "nodev", "rprivate"};
    into.more_mounts.push_back(std::move(out));
  }
  into.more_gids.insert(into.more_gids.end(), edits.additional_gids.begin(),
                        edits.additional_gids.end());
  return {};
}

}  // namespace

bool is_qualified_name(const std::string& name) {
  const auto slash = name.find('/');
  const auto equal = name.find('=');
  if (slash == std::string::npos || equal == std::string::npos || equal < slash) return false;
  return is_word(name.substr(0, slash), ".-_") &&
         is_word(name.substr(slash + 1, equal - slash - 1), "-_") &&
         is_word(name.substr(equal + 1), "-_.:");
}

std::vector<std::string> qualified_names(const std::vector<Spec>& specs) {
  std::set<std::string> out;
  for (const auto& spec : specs) {
    for (const auto& device : spec.devices) {
      std::string name = spec.kind + "=" + device.name;
      if (is_qualified_name(name)) out.insert(std::move(name));
    }
  }
  return {out.begin(), out.end()};
}

Result<> inject(const std::vector<Spec>& specs, const std::vector<std::string>& names,
                GenerateInput& into) {
  std::string missing;
  std::vector<const Spec*> used;
  std::vector<const Device*> devices;
  for (const auto& name : names) {
    const auto found = find(specs, name);
    if (found.device == nullptr) {
      missing += (missing.empty() ? "" : ", ") + name;
      continue;
    }
    if (std::ranges::find(devices, found.device) == devices.end()) devices.push_back(found.device);
    if (std::ranges::find(used, found.spec) == used.end()) used.push_back(found.spec);
  }
  if (!missing.empty())
    return fail(Errc::internal, "CDI device injection failed: unresolvable CDI devices {}",
                missing);
  for (const auto* d : devices) CHECK(apply(d->edits, into));
  for (const auto* s : used) CHECK(apply(s->edits, into));
  return {};
}

}  // namespace coracle::cdi
