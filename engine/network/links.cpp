#include "engine/network/links.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <mutex>
#include <tuple>

#include "engine/base/file.hpp"
#include "engine/base/text.hpp"
#include "engine/request/ports.hpp"
#include "engine/spec/modes.hpp"

namespace coracle {
namespace {

constexpr std::size_t kHostsLimit = std::size_t{1} << 20;

struct Kept {
  ContainerPtr child;
  std::string alias;
};

// Those whose container still exists.
std::vector<Kept> links_of(const ContainerTable& containers, const Container& c) {
  std::vector<Kept> out;
  for (const auto& text : c.record.host.links) {
    const auto colon = text.find(':');
    const auto found = containers.all().find(text.substr(0, colon));
    if (colon != std::string::npos && found != containers.all().end())
      out.push_back({found->second, text.substr(colon + 1)});
  }
  return out;
}

std::string address_of(const Container& c) {
  return is_alive(c.state.status) && c.state.endpoint ? c.state.endpoint->address : std::string();
}

std::string names_of(const Kept& link) {
  std::string out = link.alias + " " + link.child->record.config.hostname;
  if (link.alias != link.child->name()) out += " " + link.child->name();
  return out;
}

std::string variable_name(const std::string& alias) {
  std::string out;
  for (const char c : alias)
    out += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

struct Port {
  std::string proto;
  std::uint16_t number = 0;
  auto operator<=>(const Port&) const = default;
};

std::vector<Port> exposed(const ContainerConfig& config) {
  std::vector<Port> out;
  for (const auto& [text, nothing] : config.exposed_ports) {
    const auto key = parse_port_key(text);
    if (!key) continue;
    for (std::uint32_t n = key->first; n <= key->last; ++n)
      out.push_back({key->proto, static_cast<std::uint16_t>(n)});
  }
  // tcp before udp, each by number: the first is the link's PORT.
  std::ranges::sort(out);
  return out;
}

void add_variables(const Container& parent, const Kept& link, const std::string& address,
                   std::vector<std::string>& env) {
  const auto prefix = variable_name(link.alias);
  const auto& config = link.child->record.config;
  const auto ports = exposed(config);
  const auto url = [&](const Port& port) {
    return fmt::format("{}://{}:{}", port.proto, address, port.number);
  };
  if (!ports.empty()) env.push_back(prefix + "_PORT=" + url(ports.front()));
  for (const auto& port : ports) {
    const auto name = fmt::format("{}_PORT_{}_{}", prefix, port.number, variable_name(port.proto));
    env.push_back(name + "=" + url(port));
    env.push_back(name + "_ADDR=" + address);
    env.push_back(fmt::format("{}_PORT={}", name, port.number));
    env.push_back(name + "_PROTO=" + port.proto);
  }
  env.push_back(fmt::format("{}_NAME=/{}/{}", prefix, parent.name(), link.alias));
  for (const auto& variable : config.env) {
    const auto equal = variable.find('=');
    const auto name = variable.substr(0, equal);
    if (equal != std::string::npos && name != "HOME" && name != "PATH")
      env.push_back(prefix + "_ENV_" + variable);
  }
}

}  // namespace

Result<std::vector<std::string>> link_env(const ContainerTable& containers, const Container& c) {
  std::vector<std::string> env;
  if (!network_mode(c.record.host).is_bridge()) return env;
  for (const auto& link : links_of(containers, c)) {
    if (!is_alive(link.child->state.status))
      return fail(Errc::internal, "Cannot link to a non running container: /{} AS /{}/{}",
                  link.child->name(), c.name(), link.alias);
    const auto address = address_of(*link.child);
    if (!network_mode(link.child->record.host).is_bridge() || address.empty())
      return fail(Errc::internal, "container {} not attached to default bridge network",
                  link.child->id());
    add_variables(c, link, address, env);
  }
  return env;
}

std::string link_hosts(const ContainerTable& containers, const Container& c) {
  std::string out;
  if (!network_mode(c.record.host).is_bridge()) return out;
  for (const auto& link : links_of(containers, c)) {
    const auto address = address_of(*link.child);
    if (address.empty()) continue;
    out += address + "\t" + names_of(link) + "\n";
  }
  return out;
}

std::vector<HostsLine> lines_about(const Store& store, const ContainerTable& containers,
                                   const Container& child) {
  std::vector<HostsLine> out;
  const auto address = address_of(child);
  if (address.empty()) return out;
  for (const auto& [id, parent] : containers.all()) {
    if (parent->record.host.links.empty() || !is_alive(parent->state.status)) continue;
    for (const auto& link : links_of(containers, *parent)) {
      if (link.child.get() == &child)
        out.push_back({store.file(id, "hosts"), names_of(link), address});
    }
  }
  return out;
}

Result<> write_line(const HostsLine& line) {
  static std::mutex one_at_a_time;  // two that start at once may be linked to by one
  const std::lock_guard lock(one_at_a_time);
  TRY(const auto before, read_file(line.path, kHostsLimit));
  const std::string now = line.address + "\t" + line.names;
  std::string after;
  bool found = false;
  for (const auto text : split(before, '\n')) {
    const bool is_it = text.ends_with("\t" + line.names);
    if (is_it && found) continue;
    found = found || is_it;
    after.append(is_it ? std::string_view(now) : text).append("\n");
  }
  after.pop_back();  // what stands behind the last line's end is no line
  if (!found && !after.empty() && after.back() != '\n') after += '\n';
  if (!found) after += now + "\n";
  if (after == before) return {};
  const UniqueFd file(::open(line.path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return sys_error("open {}", line.path);
  CHECK(write_all(file, after));
  if (::ftruncate(file.get(), static_cast<off_t>(after.size())) != 0)
    return sys_error("write {}", line.path);
  return {};
}

std::vector<std::string> shown_links(const ContainerTable& containers, const Container& c) {
  std::vector<std::string> out;
  for (const auto& link : links_of(containers, c))
    out.push_back(fmt::format("/{}:/{}/{}", link.child->name(), c.name(), link.alias));
  return out;
}

}  // namespace coracle
