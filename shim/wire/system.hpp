// /version, /info, events and the JSON lines of progress.
#pragma once

#include <string>

#include "engine/base/ident.hpp"
#include "engine/base/json_fwd.hpp"
#include "engine/face/event.hpp"
#include "engine/face/system_info.hpp"
#include "shim/http/message.hpp"
#include "storage/content/progress.hpp"

namespace coracle::wire {

// "28.5.2+coracle-0.1.0": begins as the Docker release whose API we follow.
std::string server_version();

json::Value version_json(const SystemInfo& info);
json::Value info_json(const SystemInfo& info, Time at, bool debug, http::ApiVersion version);
json::Value event_json(const Event& event, http::ApiVersion version);

// One line of pull, load, import.
std::string progress_line(const storage::Progress& progress);
std::string error_line(const Error& error);

}  // namespace coracle::wire
