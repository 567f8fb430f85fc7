#include "engine/bundle/bundle.hpp"

#include <unistd.h>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/bundle/cdi_files.hpp"
#include "engine/bundle/mount_sources.hpp"
#include "engine/network/links.hpp"
#include "engine/spec/modes.hpp"

namespace coracle {
namespace {

constexpr std::size_t kHostFileLimit = std::size_t{1} << 20;

// In a user namespace of its own the container's root is not our 0; its files in /etc are root's.
Result<> give_to_root(const oci::Linux& linux, const std::string& path) {
  if (linux.uid_mappings.empty()) return {};
  if (::chown(path.c_str(), root_of(linux.uid_mappings), root_of(linux.gid_mappings)) != 0)
    return sys_error("change the owner of {}", path);
  return {};
}

Result<std::optional<KeepIdInput>> keep_id_input(const storage::Storage& storage,
                                                 const HostFacts& host_facts, const Container& c) {
  std::optional<KeepIdInput> out;
  TRY(const auto request, parse_userns_mode(c.record.host.userns_mode));
  if (!request) return out;
  TRY(const auto plan, storage.mount_plan(c.id()));
  out = KeepIdInput{*request, {c.record.config.user}, {}, host_facts.uids, host_facts.gids};
  if (const auto image = storage.find(c.record.image_id)) out->users.push_back(image->config.user);
  if (!plan.upper.empty()) out->layers.push_back(plan.upper);
  out->layers.insert(out->layers.end(), plan.lower.begin(), plan.lower.end());
  return out;
}

}  // namespace

Result<BundleJob> bundle_job(const Context& context, const Container& c, GenerateInput input,
                             const std::string& gateway) {
  BundleJob job;
  TRY(job.keep_id, keep_id_input(*context.storage, context.host, c));
  for (const auto& d : c.record.host.resources.device_requests)
    job.cdi_devices.insert(job.cdi_devices.end(), d.device_ids.begin(), d.device_ids.end());
  job.cdi_directories = context.config.cdi_spec_dirs;
  job.input = std::move(input);
  const auto& defaults = context.config.defaults;
  auto& host = job.input.host;
  if (host.dns.empty()) host.dns = defaults.dns;
  if (host.dns_options.empty()) host.dns_options = defaults.dns_options;
  if (host.dns_search.empty()) host.dns_search = defaults.dns_search;
  job.make_sources = sources_to_make(context.config, c.record.mounts);
  job.bundle = context.store.bundle(c.id());
  job.hostname_path = context.store.file(c.id(), "hostname");
  job.resolv_conf_path = context.store.file(c.id(), "resolv.conf");
  job.hostname = c.record.config.hostname;
  const auto mode = network_mode(c.record.host);
  job.own_files = !mode.is_container();
  job.facts.host = mode.is_host();
  if (mode.is_bridge()) job.facts.address = job.facts.gateway = gateway;
  return job;
}

Result<std::shared_ptr<const oci::Spec>> write_bundle(BundleJob job) {
  if (job.keep_id) {
    TRY(auto maps, find_keep_id(*job.keep_id));
    job.input.uid_map = std::move(maps.users);
    job.input.gid_map = std::move(maps.groups);
  }
  for (const auto& source : job.make_sources) {
    CHECK(make_source(source));
  }
  if (!job.cdi_devices.empty())
    CHECK(cdi::inject(cdi::read_specs(job.cdi_directories), job.cdi_devices, job.input));
  TRY(auto generated, generate(job.input));
  for (const auto& w : generated.warnings)
    log::debug("container has less than it asked for id={} what={}", job.input.id, w);
  if (job.own_files) {
    if (auto text = read_file("/etc/resolv.conf", kHostFileLimit))
      job.facts.resolv_conf = *std::move(text);
    CHECK(write_file_atomic(job.resolv_conf_path, resolv_conf_text(job.input.host, job.facts), 0644,
                            Durability::unsynced));
    CHECK(write_file_atomic(job.hostname_path, job.hostname + "\n", 0644, Durability::unsynced));
    CHECK(give_to_root(generated.spec.linux, job.resolv_conf_path));
    CHECK(give_to_root(generated.spec.linux, job.hostname_path));
  }
  CHECK(make_dirs(job.bundle + "/rootfs"));
  CHECK(write_file_atomic(job.bundle + "/config.json", json::to_text(generated.spec), 0600,
                          Durability::unsynced));
  generated.spec.linux.seccomp.reset();  // the largest part; exec does not need it here
  generated.spec.mounts.clear();
  return std::make_shared<const oci::Spec>(std::move(generated.spec));
}

Result<> write_hosts(const Context& context, const Container& c, const oci::Spec& spec,
                     const netstack::Endpoint& endpoint) {
  const auto mode = network_mode(c.record.host);
  if (mode.is_container()) return {};
  NetworkFacts facts;
  facts.address = endpoint.address;
  facts.gateway = endpoint.gateway;
  facts.host_gateway = context.config.defaults.host_gateway;
  facts.host = mode.is_host();
  if (facts.host) {
    if (auto text = read_file("/etc/hosts", kHostFileLimit)) facts.hosts = *std::move(text);
  }
  const auto path = context.store.file(c.id(), "hosts");
  CHECK(write_file_atomic(
      path, hosts_text(c.record.config, c.record.host, facts) + link_hosts(context.table, c), 0644,
      Durability::unsynced));
  return give_to_root(spec.linux, path);
}

Result<runtime::RootMount> root_mount(const storage::Storage& storage, const Container& c,
                                      const oci::Spec& spec) {
  TRY(const auto plan, storage.mount_plan(c.id()));
  runtime::RootMount root;
  root.type = plan.type;
  root.lower = plan.lower;
  root.upper = plan.upper;
  root.work = plan.work;
  root.fuse_program = plan.program;
  root.volatile_upper = c.record.host.auto_remove;
  // The kernel's mark of an upper directory that was not synced: one that runs again has lost nothing
  // since, or it would have been removed. See "Volatile mount" of its overlayfs documentation.
  if (root.volatile_upper && c.state.started_at.ns != 0)
    CHECK(remove_tree(root.work + "/work/incompat"));
  if (spec.linux.uid_mappings.empty()) return root;
  // The kernel's overlay cannot show other ids than the layers have.
  if (root.type == "overlay") {
    root.type = "fuse-overlayfs";
    TRY(root.fuse_program, find_id_mapping_overlay());
  }
  if (root.type != "fuse-overlayfs")
    return fail(Errc::unsupported,
                "keep-id: the storage driver {} cannot show an image's files with other ids; use "
                "overlay or fuse-overlayfs",
                storage.driver());
  root.uid_mapping = layer_id_map(spec.linux.uid_mappings);
  root.gid_mapping = layer_id_map(spec.linux.gid_mappings);
  return root;
}

}  // namespace coracle
