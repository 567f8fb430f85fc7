#include "shim/wire/usage.hpp"

#include <algorithm>

#include "engine/base/json.hpp"
#include "shim/wire/container.hpp"
#include "shim/wire/image.hpp"
#include "shim/wire/volume.hpp"

namespace coracle::wire {
namespace {

using boost::json::array;
using boost::json::object;

object cpu_json(const std::optional<StatsSample>& sample) {
  const CpuUse use = sample ? sample->cpu : CpuUse{};
  object usage{{"total_usage", use.total_ns},
               {"usage_in_kernelmode", use.kernel_ns},
               {"usage_in_usermode", use.user_ns}};
  object o;
  o["cpu_usage"] = std::move(usage);
  if (sample) {
    o["system_cpu_usage"] = use.system_ns;
    o["online_cpus"] = use.online;
  }
  o["throttling_data"] = object{{"periods", use.periods},
                                {"throttled_periods", use.throttled_periods},
                                {"throttled_time", use.throttled_ns}};
  return o;
}

object memory_json(const std::optional<StatsSample>& sample) {
  object o;
  if (!sample) return o;
  object detail;
  for (const auto& [key, value] : sample->memory_detail) detail[key] = value;
  o["usage"] = sample->memory;
  o["stats"] = std::move(detail);
  o["limit"] = sample->memory_limit;
  return o;
}

object block_json(const std::optional<StatsSample>& sample) {
  object o;
  json::Value bytes(nullptr);
  if (sample && !sample->block.empty()) {
    array list;
    for (const auto& use : sample->block)
      list.push_back(object{{"major", use.major_number},
                            {"minor", use.minor_number},
                            {"op", use.op},
                            {"value", use.bytes}});
    bytes = std::move(list);
  }
  o["io_service_bytes_recursive"] = std::move(bytes);
  for (const char* name :
       {"io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
        "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive"})
    o[name] = nullptr;
  return o;
}

object networks_json(const StatsSample& sample) {
  object o;
  for (const auto& [name, use] : sample.networks) {
    o[name] = object{{"rx_bytes", use.rx_bytes},   {"rx_packets", use.rx_packets},
                     {"rx_errors", use.rx_errors}, {"rx_dropped", use.rx_dropped},
                     {"tx_bytes", use.tx_bytes},   {"tx_packets", use.tx_packets},
                     {"tx_errors", use.tx_errors}, {"tx_dropped", use.tx_dropped}};
  }
  return o;
}

json::Value strings_or_null(const std::vector<std::string>& list) {
  return list.empty() ? json::Value(nullptr) : json::to_json(list);
}

array images_json(const DiskUsage& usage, http::ApiVersion version) {
  array out;
  for (const auto& use : *usage.images) {
    auto o = image_summary(use.image, use.containers, version);
    o.get_object()["SharedSize"] = use.shared;
    o.get_object()["Containers"] = use.containers;
    out.push_back(std::move(o));
  }
  return out;
}

array containers_json(const DiskUsage& usage, http::ApiVersion version, Time at) {
  array out;
  for (const auto& use : *usage.containers)
    out.push_back(container_summary(use.view, use.view.config.image, version, at, use.size));
  return out;
}

array volumes_json(const DiskUsage& usage) {
  array out;
  for (const auto& use : *usage.volumes) {
    auto o = volume_json(use.volume);
    o.get_object()["UsageData"] = object{{"RefCount", use.containers}, {"Size", use.size}};
    out.push_back(std::move(o));
  }
  return out;
}

object sums_json(std::size_t total, std::size_t active, std::int64_t size,
                 std::int64_t reclaimable) {
  return {{"TotalCount", total},
          {"ActiveCount", active},
          {"TotalSize", size},
          {"Reclaimable", reclaimable}};
}

object image_sums(const DiskUsage& usage) {
  const auto active =
      std::ranges::count_if(*usage.images, [](const auto& use) { return use.containers != 0; });
  return sums_json(usage.images->size(), static_cast<std::size_t>(active), usage.layers,
                   usage.layers_unused);
}

object container_sums(const DiskUsage& usage) {
  std::size_t active = 0;
  std::int64_t size = 0, reclaimable = 0;
  for (const auto& use : *usage.containers) {
    const auto status = use.view.status;
    const bool runs =
        status == Status::running || status == Status::paused || status == Status::restarting;
    if (runs) ++active;
    size += use.size.rw;
    if (!runs) reclaimable += use.size.rw;
  }
  return sums_json(usage.containers->size(), active, size, reclaimable);
}

object volume_sums(const DiskUsage& usage) {
  std::size_t active = 0;
  std::int64_t size = 0, reclaimable = 0;
  for (const auto& use : *usage.volumes) {
    if (use.containers != 0) ++active;
    size += std::max<std::int64_t>(use.size, 0);
    if (use.containers == 0) reclaimable += std::max<std::int64_t>(use.size, 0);
  }
  return sums_json(usage.volumes->size(), active, size, reclaimable);
}

}  // namespace

json::Value stats_json(const StatsView& view, http::ApiVersion version) {
  object o;
  o["name"] = "/" + view.name;
  o["id"] = view.id;
  if (version >= http::ApiVersion{1, 52}) o["os_type"] = "linux";
  o["read"] = to_rfc3339(view.sample ? view.sample->at : Time{});
  o["preread"] = to_rfc3339(view.before ? view.before->at : Time{});
  object pids;
  if (view.sample) {
    pids["current"] = view.sample->pids;
    if (view.sample->pids_limit) pids["limit"] = *view.sample->pids_limit;
  }
  o["pids_stats"] = std::move(pids);
  o["blkio_stats"] = block_json(view.sample);
  o["num_procs"] = 0;
  o["storage_stats"] = object{};
  o["cpu_stats"] = cpu_json(view.sample);
  o["precpu_stats"] = cpu_json(view.before);
  o["memory_stats"] = memory_json(view.sample);
  if (view.sample && !view.sample->networks.empty()) o["networks"] = networks_json(*view.sample);
  return o;
}

json::Value top_json(const ProcessList& list) {
  object o;
  o["Titles"] = json::to_json(list.titles);
  o["Processes"] = json::to_json(list.rows);
  return o;
}

json::Value disk_usage_json(const DiskUsage& usage, bool build_cache, bool verbose,
                            http::ApiVersion version, Time at) {
  json::Value images(nullptr), containers(nullptr), volumes(nullptr), cache(nullptr);
  if (usage.images) images = images_json(usage, version);
  if (usage.containers) containers = containers_json(usage, version, at);
  if (usage.volumes) volumes = volumes_json(usage);
  if (build_cache) cache = array{};
  object o;
  if (version >= http::ApiVersion{1, 52}) {
    object cache_sums = sums_json(0, 0, 0, 0);
    const auto put = [&](const char* name, object sums, const json::Value& items) {
      if (verbose) sums["Items"] = items;
      o[name] = std::move(sums);
    };
    if (usage.images) put("ImageUsage", image_sums(usage), images);
    if (usage.containers) put("ContainerUsage", container_sums(usage), containers);
    if (usage.volumes) put("VolumeUsage", volume_sums(usage), volumes);
    if (build_cache) put("BuildCacheUsage", std::move(cache_sums), cache);
    if (verbose) return o;
  }
  o["LayersSize"] = usage.layers;
  o["Images"] = std::move(images);
  o["Containers"] = std::move(containers);
  o["Volumes"] = std::move(volumes);
  o["BuildCache"] = std::move(cache);
  return o;
}

json::Value pruned_json(const Pruned& pruned) {
  object o;
  o["ContainersDeleted"] = strings_or_null(pruned.deleted);
  o["SpaceReclaimed"] = pruned.reclaimed;
  return o;
}

json::Value pruned_volumes_json(const Pruned& pruned) {
  object o;
  o["VolumesDeleted"] = json::to_json(pruned.deleted);
  o["SpaceReclaimed"] = pruned.reclaimed;
  return o;
}

json::Value pruned_images_json(const PrunedImages& pruned) {
  auto list = removed_json(pruned.removed);
  object o;
  o["ImagesDeleted"] = list.get_array().empty() ? json::Value(nullptr) : std::move(list);
  o["SpaceReclaimed"] = pruned.reclaimed;
  return o;
}

}  // namespace coracle::wire
