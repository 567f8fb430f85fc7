#include "shim/container_defaults.hpp"

#include <string>
#include <string_view>
#include <utility>

#include "engine/base/text.hpp"

namespace coracle::shim {
namespace {

Result<> check_mode(const char* flag, const std::string& mode, const char* other) {
  if (mode == "private" || mode == other) return {};
  return fail(Errc::invalid_argument, "{}: \"{}\": private or {}", flag, mode, other);
}

Result<Ulimit> read_ulimit(const std::string& text) {
  const auto wrong = [&] {
    return fail(Errc::invalid_argument, "default-ulimit: \"{}\": expected NAME=SOFT[:HARD]", text);
  };
  const auto equals = text.find('=');
  if (equals == std::string::npos) return wrong();
  const auto numbers = std::string_view(text).substr(equals + 1);
  const auto colon = numbers.find(':');
  const auto soft = parse_int64(numbers.substr(0, colon));
  const auto hard = colon == std::string_view::npos ? soft : parse_int64(numbers.substr(colon + 1));
  if (!soft || !hard) return wrong();
  return Ulimit{text.substr(0, equals), *soft, *hard};
}

}  // namespace

Result<ContainerDefaults> container_defaults(const Values& v) {
  ContainerDefaults d;
  d.ipc_mode = first(v, "default-ipc-mode", d.ipc_mode);
  CHECK(check_mode("default-ipc-mode", d.ipc_mode, "shareable"));
  d.cgroupns_mode = first(v, "default-cgroupns-mode", d.cgroupns_mode);
  CHECK(check_mode("default-cgroupns-mode", d.cgroupns_mode, "host"));
  if (const auto size = first(v, "default-shm-size"); !size.empty()) {
    const auto bytes = parse_size(size, 1024);
    if (!bytes || *bytes <= 0)
      return fail(Errc::invalid_argument, "default-shm-size: \"{}\" is no size", size);
    d.shm_size = *bytes;
  }
  d.init = first(v, "init") == "true";
  d.no_new_privileges = first(v, "no-new-privileges") == "true";
  d.dns = all(v, "dns");
  d.dns_options = all(v, "dns-opt");
  d.dns_search = all(v, "dns-search");
  for (const auto& text : all(v, "default-ulimit")) {
    TRY(auto limit, read_ulimit(text));
    d.ulimits.push_back(std::move(limit));
  }
  d.host_gateway = first(v, "host-gateway-ip");
  d.has_bridge = first(v, "bridge") != "none";
  if (const auto bridge = first(v, "bridge"); !bridge.empty() && d.has_bridge)
    return fail(Errc::invalid_argument,
                "bridge: \"{}\": coracle makes a bridge of its own; only none can be said", bridge);
  if (first(v, "icc") == "false")
    return fail(Errc::invalid_argument,
                "icc: false is not supported yet: containers of one network are not kept apart");
  return d;
}

}  // namespace coracle::shim
