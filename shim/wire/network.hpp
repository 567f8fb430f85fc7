// Networks in Docker's JSON.
#pragma once

#include "engine/base/json_fwd.hpp"
#include "engine/face/network_view.hpp"
#include "shim/http/message.hpp"

namespace coracle::wire {

//   members  with the Containers of an inspect; a list has none
json::Value network_json(const NetworkView& network, bool members, http::ApiVersion version);

}  // namespace coracle::wire
