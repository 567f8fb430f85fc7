// What is to be told of this host and this engine.
#pragma once

#include "engine/context.hpp"

namespace coracle {

// Asked once, at open.
Result<HostFacts> look_at_host(const std::string& data_root);
SystemInfo system_info(const Context& context);

}  // namespace coracle
