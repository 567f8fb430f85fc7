#include "engine/request/links.hpp"

#include "engine/spec/modes.hpp"

namespace coracle {
namespace {

std::unexpected<Error> no_links_of_the_host() {
  return fail(Errc::invalid_argument,
              "conflicting options: host type networking can't be used with links. This would "
              "result in undefined behavior");
}

}  // namespace

Result<Link> parse_link(const std::string& text) {
  const auto colon = text.find(':');
  if (text.empty() || colon == 0 || colon + 1 == text.size() ||
      (colon != std::string::npos && text.find(':', colon + 1) != std::string::npos))
    return fail(Errc::invalid_argument, "bad format for links: {}", text);
  if (colon == std::string::npos) return Link{text, text};
  Link out{text.substr(0, colon), text.substr(colon + 1)};
  if (out.name.starts_with('/')) {
    out.name.erase(0, 1);
    out.alias.erase(0, out.alias.rfind('/') + 1);
  }
  if (out.name.empty() || out.alias.empty())
    return fail(Errc::invalid_argument, "bad format for links: {}", text);
  return out;
}

Result<std::vector<std::string>> plan_links(const FindRecord& find, const HostConfig& host) {
  std::vector<std::string> out;
  if (host.links.empty()) return out;
  const auto mode = network_mode(host);
  if (mode.is_host()) return no_links_of_the_host();
  if (mode.is_container())
    return fail(Errc::invalid_argument,
                "conflicting options: container type network can't be used with links. This would "
                "result in undefined behavior");
  for (const auto& text : host.links) {
    TRY(const auto link, parse_link(text));
    const auto child = find(link.name);
    if (!child)
      return std::unexpected(child.error().within("could not get container for {}", link.name));
    if (network_mode((*child)->host).is_host()) return no_links_of_the_host();
    out.push_back((*child)->id + ":" + link.alias);
  }
  return out;
}

}  // namespace coracle
