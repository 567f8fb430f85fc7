// What Docker's API has and coracle does not (yet): each with its fixed answer, so that a client
// hears why instead of "page not found". These routes are matched last.
#include "shim/api/refused.hpp"

#include "shim/api/api.hpp"
#include "shim/http/problem.hpp"

namespace coracle::api {
namespace {

struct Refusal {
  const char* method;
  const char* pattern;
  const char* what;
};
constexpr Refusal kNotYet[] = {
    {"GET", "/images/{*}/attestations", "showing attestations"},
    {"POST", "/build", "building"},
    {"POST", "/build/cancel", "cancelling a build"},
    {"POST", "/session", "build sessions"},
    {"POST", "/grpc", "BuildKit's protocol"},
    {"POST", "/networks/create", "creating a network"},
    {"POST", "/networks/{}/connect", "connecting a container to a network"},
    {"POST", "/networks/{}/disconnect", "disconnecting a container from a network"},
    {"DELETE", "/networks/{}", "removing a network"},
    {"POST", "/swarm/init", "swarm mode"},
    {"POST", "/swarm/join", "swarm mode"},
};

Task<Reply> answer_not_yet(const char* what) {
  co_return fail(Errc::unsupported, "{} is not supported by coracle yet", what);
}
Task<Reply> no_manager(CallPtr /*call*/) { co_return fail(Errc::unavailable, "{}", kNoManager); }
Task<Reply> no_swarm(CallPtr /*call*/) {
  co_return fail(Errc::unavailable, "This node is not part of a swarm");
}
Task<Reply> no_plugins(CallPtr /*call*/) { co_return http::json_reply("[]"); }
Task<Reply> no_such_plugin(CallPtr call) {
  co_return fail(Errc::not_found, "plugin \"{}\" not found", call->request.params[0]);
}
Task<Reply> no_plugin_kind(CallPtr /*call*/) {
  co_return fail(Errc::unsupported, "plugins are not supported by coracle");
}

}  // namespace

void add_refused_routes(http::Router& router) {
  for (const auto& refusal : kNotYet) {
    router.add(refusal.method, refusal.pattern,
               [what = refusal.what](CallPtr) { return answer_not_yet(what); });
  }
  for (const char* pattern :
       {"/swarm", "/swarm/unlockkey", "/services", "/services/{}", "/services/{}/logs", "/nodes",
        "/nodes/{}", "/tasks", "/tasks/{}", "/tasks/{}/logs", "/secrets", "/secrets/{}", "/configs",
        "/configs/{}"})
    router.add("GET", pattern, no_manager);
  for (const char* pattern : {"/swarm/update", "/swarm/unlock", "/services/create",
                              "/services/{}/update", "/nodes/{}/update", "/secrets/create",
                              "/secrets/{}/update", "/configs/create", "/configs/{}/update"})
    router.add("POST", pattern, no_manager);
  for (const char* pattern : {"/services/{}", "/nodes/{}", "/secrets/{}", "/configs/{}"})
    router.add("DELETE", pattern, no_manager);
  router.add("PUT", "/volumes/{}", no_manager);
  router.add("POST", "/swarm/leave", no_swarm);

  router.add("GET", "/plugins", no_plugins);
  router.add("GET", "/plugins/privileges", no_plugin_kind);
  router.add("POST", "/plugins/pull", no_plugin_kind);
  router.add("POST", "/plugins/create", no_plugin_kind);
  router.add("GET", "/plugins/{*}/json", no_such_plugin);
  router.add("DELETE", "/plugins/{*}", no_such_plugin);
  for (const char* pattern : {"/plugins/{*}/enable", "/plugins/{*}/disable", "/plugins/{*}/push",
                              "/plugins/{*}/upgrade", "/plugins/{*}/set"})
    router.add("POST", pattern, no_such_plugin);
}

}  // namespace coracle::api
