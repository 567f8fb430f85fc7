// All values that pass through the engine's face; who needs a few includes those.
#pragma once

#include "engine/face/container_config.hpp"
#include "engine/face/container_options.hpp"
#include "engine/face/container_view.hpp"
#include "engine/face/create.hpp"
#include "engine/face/endpoint.hpp"
#include "engine/face/event.hpp"
#include "engine/face/exec.hpp"
#include "engine/face/filters.hpp"
#include "engine/face/host_config.hpp"
#include "engine/face/log.hpp"
#include "engine/face/network_view.hpp"
#include "engine/face/system_info.hpp"
