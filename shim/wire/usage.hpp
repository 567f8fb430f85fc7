// What is used, in Docker's JSON: stats, top, system df, prune.
#pragma once

#include <string>

#include "engine/base/ident.hpp"
#include "engine/base/json_fwd.hpp"
#include "engine/face/disk_usage.hpp"
#include "engine/face/stats.hpp"
#include "shim/http/message.hpp"

namespace coracle::wire {

// One object of GET /containers/{c}/stats. One that does not run is all zeros.
json::Value stats_json(const StatsView& view, http::ApiVersion version);
json::Value top_json(const ProcessList& list);

// GET /system/df. Below 1.52: lists, null for what was not asked for. From 1.52: sums, beside the
// lists or, when `verbose`, with the lists inside.
//   build_cache  was it asked for? There is none, so its list is empty
json::Value disk_usage_json(const DiskUsage& usage, bool build_cache, bool verbose,
                            http::ApiVersion version, Time at);

// {"ContainersDeleted": [ids], "SpaceReclaimed": n}. Where nothing went dockerd has null for
// containers and images, and [] for volumes.
json::Value pruned_json(const Pruned& pruned);
json::Value pruned_volumes_json(const Pruned& pruned);
json::Value pruned_images_json(const PrunedImages& pruned);

}  // namespace coracle::wire
