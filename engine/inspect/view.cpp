#include "engine/inspect/view.hpp"

#include "engine/network/links.hpp"
#include "engine/request/log_options.hpp"
#include "engine/request/mounts.hpp"
#include "engine/request/ports.hpp"

namespace coracle {
namespace {

std::string joined(const std::vector<std::string>& parts, char with) {
  std::string out;
  for (const auto& part : parts) out += (out.empty() ? "" : std::string(1, with)) + part;
  return out;
}

void show_command(const ContainerConfig& config, ContainerView& view) {
  std::vector<std::string> words;
  for (const auto& list : {config.entrypoint, config.cmd}) {
    if (list) words.insert(words.end(), list->items.begin(), list->items.end());
  }
  if (words.empty()) return;
  view.path = words[0];
  view.args.assign(words.begin() + 1, words.end());
}

void show_network(const Container& c, ContainerView& view) {
  view.endpoints = c.record.endpoints;
  if (!is_alive(c.state.status) || !c.state.endpoint) return;
  const auto& e = *c.state.endpoint;
  view.sandbox_id = e.endpoint_id;
  view.sandbox_key = view.pid != 0 ? "/proc/" + std::to_string(view.pid) + "/ns/net" : "";
  view.ports = shown_ports(e.ports, c.record.config, c.record.host);
  auto& shown = view.endpoints[c.record.host.network_mode];
  shown.endpoint_id = e.endpoint_id;
  shown.gateway = e.gateway;
  shown.ip_address = e.address;
  shown.ip_prefix_len = e.prefix_len;
  shown.mac_address = e.mac;
}

void show_storage(const storage::Storage& storage, const Container& c, ContainerView& view) {
  view.driver = storage.driver();
  const auto plan = storage.mount_plan(c.id());
  if (!plan) return;
  if (!plan->lower.empty()) view.graph_data["LowerDir"] = joined(plan->lower, ':');
  if (!plan->upper.empty()) view.graph_data["UpperDir"] = plan->upper;
  if (!plan->work.empty()) view.graph_data["WorkDir"] = plan->work;
}

}  // namespace

ContainerView view_of(const Context& context, const Container& c, Depth depth) {
  ContainerView v;
  const auto& r = c.record;
  const auto& s = c.state;
  v.id = r.id;
  v.name = r.name;
  v.created = r.created;
  v.status = c.status();
  v.exit_code = s.exit_code;
  v.oom_killed = s.oom_killed;
  v.error = c.damage.empty() ? s.error : c.damage;
  v.damaged = !c.damage.empty();
  v.started_at = s.started_at;
  v.finished_at = s.finished_at;
  v.image_id = r.image_id;
  v.restart_count = s.restart_count;
  if (depth == Depth::inspect) {
    v.config = r.config;
    v.host = r.host;
    v.host.links = shown_links(context.table, c);
  } else {
    v.config.image = r.config.image;
    v.config.labels = r.config.labels;
    v.config.exposed_ports = r.config.exposed_ports;
    v.host.network_mode = r.host.network_mode;
    v.host.annotations = r.host.annotations;
  }
  v.link_names = context.table.links_to(c.id());
  v.exec_ids = c.exec_ids;
  if (const auto* running = std::get_if<Running>(&c.held)) v.pid = running->identity.init.pid;
  show_command(r.config, v);
  if (s.started_at.ns != 0) {
    v.resolv_conf_path = context.store.file(c.id(), "resolv.conf");
    v.hostname_path = context.store.file(c.id(), "hostname");
    v.hosts_path = context.store.file(c.id(), "hosts");
  }
  if (r.host.log_config.type == "json-file")
    v.log_path = log_file_of(r.host.log_config, context.store.dir(c.id()), c.id());
  for (const auto& m : r.mounts) {
    // --tmpfs is shown in HostConfig.Tmpfs alone, as at Docker.
    const bool short_tmpfs = m.type == MountType::tmpfs && r.host.tmpfs.contains(m.destination);
    if (!short_tmpfs) v.mounts.push_back(shown_mount(m));
  }
  show_network(c, v);
  if (depth == Depth::inspect) show_storage(*context.storage, c, v);
  v.health = s.health;
  return v;
}

}  // namespace coracle
