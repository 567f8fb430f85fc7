// docker stats: samples (sample.hpp) of one container, one a second, taken by a worker.
#pragma once

#include <memory>

#include "engine/container/container.hpp"
#include "engine/context.hpp"
#include "engine/face/stats.hpp"

namespace coracle {

std::unique_ptr<StatsStream> open_stats(Context& context, ContainerPtr container,
                                        StatsOptions options);

}  // namespace coracle
