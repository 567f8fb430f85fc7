// What the files of api/ share: how a route is put into the router, and what its handler is given:
// the one face of the engine that it asks, or Api. A handler parses, asks the engine, answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/async/async.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/json_fwd.hpp"
#include "engine/base/result.hpp"
#include "engine/face/filters.hpp"
#include "shim/http/router.hpp"
#include "storage/content/progress.hpp"

namespace coracle {
class Engine;
namespace face {
class Execs;
class Networks;
class Prune;
class System;
class Usage;
class Volumes;
}  // namespace face
}  // namespace coracle

namespace coracle::api {

using http::CallPtr;
using http::Reply;

// Lives as long as the server.
struct Api {
  asio::io_context& io;
  Engine& engine;
  bool debug = false;
  std::size_t last_list = 0;  // bytes of the last list of containers: the next one is about as long
};

constexpr std::size_t kBodyLimit = std::size_t{16} << 20;
// What an empty body means to a route.
enum class EmptyBody : std::uint8_t {
  is_null,            // nothing is asked for
  is_null_if_absent,  // the same, but of blanks, or announced as chunks, it is refused
  is_refused,
};
// A JSON body; null (which json::from_json_of_client takes for {}) when it is empty.
//   errors  invalid_argument in the words of dockerd and of Go's encoding/json
Task<json::Value> json_body(CallPtr call, EmptyBody empty);

// The `filters` parameter, with only these keys.
Result<Filters> filters_of(const http::Request& request,
                           std::span<const std::string_view> accepted);
// A parameter that is a time ("since"); without it Time{}.
Result<Time> time_of(const http::Request& request, const char* name);
// h and w of a resize.
struct Size {
  std::uint16_t height = 0, width = 0;
};
Result<Size> size_of(const http::Request& request);

// Runs `operation` (pull, load, import) with its progress streamed as JSON lines. An error before
// the first line is a plain error; after it, a line.
using Operation = std::function<Task<std::string>(storage::ProgressSink)>;  // last line(s), or ""
Task<Reply> stream_progress(CallPtr call, asio::io_context& io, Operation operation);

// A route whose handler is given `asked`, which outlives the router.
template <class Asked>
void route(http::Router& router, Asked& asked, const char* method, const char* pattern,
           Task<Reply> (*handler)(Asked&, CallPtr)) {
  router.add(method, pattern,
             [&asked, handler](CallPtr call) { return handler(asked, std::move(call)); });
}

void add_system_routes(http::Router& router, Api& api);
void add_container_routes(http::Router& router, Api& api);
void add_stream_routes(http::Router& router, Api& api);
void add_archive_routes(http::Router& router, Api& api);
void add_exec_routes(http::Router& router, face::Execs& execs);
void add_image_routes(http::Router& router, Api& api);
void add_volume_routes(http::Router& router, face::Volumes& volumes);
void add_network_routes(http::Router& router, face::Networks& networks);
void add_event_routes(http::Router& router, face::System& system);
void add_usage_routes(http::Router& router, face::Usage& usage);
void add_prune_routes(http::Router& router, face::Prune& prune);
// What Docker knows and we do not do: fixed answers.
void add_refused_routes(http::Router& router);
void add_all_routes(http::Router& router, Api& api);

}  // namespace coracle::api
