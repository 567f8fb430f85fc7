// shim/wire and the engine's pure rules: the body of create with all that follows from it, filters,
// credentials, and the many small words of Docker's command line.
#include <array>

#include "engine/base/json.hpp"
#include "engine/exec/detach_keys.hpp"
#include "engine/face/update.hpp"
#include "engine/inspect/list_filter.hpp"
#include "engine/monitor/streams/detach_keys.hpp"
#include "engine/request/image_defaults.hpp"
#include "engine/request/links.hpp"
#include "engine/request/mount_request.hpp"
#include "engine/request/mounts.hpp"
#include "engine/request/ports.hpp"
#include "engine/request/until.hpp"
#include "engine/request/validate.hpp"
#include "engine/spec/capabilities.hpp"
#include "engine/spec/generate.hpp"
#include "engine/spec/keep_id.hpp"
#include "engine/spec/security_options.hpp"
#include "shim/wire/container.hpp"
#include "shim/wire/filters.hpp"
#include "shim/wire/image.hpp"
#include "shim/wire/json_fault.hpp"
#include "storage/images/platform.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

// From the body to the specification that the monitor gets.
void create(std::string_view input) {
  const auto first = json::parse_first(input);
  const auto fault = wire::json_fault(input);
  MUST(!first || fault.empty());
  if (!first) return;
  const auto* body = &first->value;
  (void)wire::parse_update(*body);
  (void)wire::parse_commit(*body);
  for (const auto version : {http::ApiVersion{1, 24}, http::ApiVersion{1, 43}, http::kMaxVersion}) {
    auto request = wire::parse_create(*body, version);
    if (!request || !validate(request->config, request->host, 2)) continue;
    (void)other_warnings(request->config, request->host);
    auto host = with_defaults(request->host, ContainerDefaults{});
    (void)discard_limits(host);
    storage::ImageConfig image;
    image.cmd = {"sh"};
    auto config = with_image_defaults(request->config, image);
    if (!config) continue;
    (void)port_requests(host, *config);
    (void)plan_mounts(host, *config);
    GenerateInput in;
    in.id = std::string(64, 'a');
    in.config = *config;
    in.host = host;
    in.hosts_path = in.hostname_path = in.resolv_conf_path = "/x";
    in.target = {{}, "amd64", {6, 18}};
    if (const auto out = generate(in))
      MUST(json::from_text<oci::Spec>(json::to_text(out->spec)).has_value());
  }
}

void filters(std::string_view input) {
  const auto parsed = wire::parse_filters(std::string(input), kContainerFilterKeys);
  if (!parsed || !check_container_filters(*parsed)) return;
  static const ContainerView kView = [] {
    ContainerView v;
    v.id = std::string(64, 'a');
    v.name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    v.config.labels = {{"a", "b"}, {"c", ""}};
    v.config.exposed_ports = {{"80/tcp", {}}};
    v.ports = {{"80/tcp", {{"0.0.0.0", "8080"}}}};
    v.mounts = {{"volume", "v", "/s", "/d", "local", "", true, ""}};
    v.endpoints = {{"bridge", {}}};
    return v;
  }();
  (void)ContainerFilter(*parsed).matches(kView);
}

void credentials(std::string_view input) {
  const std::string text(input);
  (void)wire::parse_registry_auth(text);
  (void)storage::parse_platform(text);
  if (const auto body = json::parse(input)) (void)wire::parse_auth_body(*body);
}

// A text as the value of any option.
void words(std::string_view input) {
  const std::string text(input);
  const Time at{1'700'000'000'000'000'000};
  (void)parse_until(text, at);
  if (const auto s = parse_signal(text, 15)) MUST(*s > 0 && *s <= 64);
  if (const auto m = parse_bind(text)) {
    MUST(m->destination.starts_with('/'));
    MUST(("/" + m->destination + "/").find("/../") == std::string::npos);
  }
  (void)parse_volumes_from(text);
  (void)parse_mount_mode(text);
  (void)parse_tmpfs_options(text);
  (void)check_mount_target(text);
  if (const auto p = parse_port_key(text)) MUST(p->first <= p->last);
  (void)parse_link(text);
  (void)parse_userns_mode(text);
  (void)normalize_capability(text);
  (void)parse_security_options({text});
}

// Keys, then what is typed, a NUL between them; typed in one piece or byte by byte it means the
// same.
void detach_keys(std::string_view input) {
  const auto end = std::min(input.find('\0'), input.size());
  const auto keys = parse_detach_keys(std::string(input.substr(0, end)));
  if (!keys) return;
  const auto typed = input.substr(std::min(end + 1, input.size()));
  monitor::DetachKeys whole(*keys), single(*keys);
  const auto at_once = whole.pass(typed);
  std::string passed;
  bool detached = false;
  for (std::size_t i = 0; i < typed.size() && !detached; ++i) {
    auto one = single.pass(typed.substr(i, 1));
    passed += one.text;
    detached = one.detached;
  }
  MUST(passed == at_once.text && detached == at_once.detached);
  MUST(passed.size() <= typed.size());
}

}  // namespace

std::vector<Target> request_targets() {
  const std::vector<std::string> body_words{"Image",
                                            "Cmd",
                                            "Entrypoint",
                                            "Env",
                                            "Hostname",
                                            "Domainname",
                                            "User",
                                            "WorkingDir",
                                            "Labels",
                                            "ExposedPorts",
                                            "Volumes",
                                            "StopSignal",
                                            "StopTimeout",
                                            "Healthcheck",
                                            "Test",
                                            "Interval",
                                            "Timeout",
                                            "Retries",
                                            "StartPeriod",
                                            "Tty",
                                            "OpenStdin",
                                            "HostConfig",
                                            "Binds",
                                            "Mounts",
                                            "Type",
                                            "Source",
                                            "Target",
                                            "ReadOnly",
                                            "BindOptions",
                                            "Propagation",
                                            "VolumeOptions",
                                            "Subpath",
                                            "TmpfsOptions",
                                            "SizeBytes",
                                            "Mode",
                                            "Tmpfs",
                                            "NetworkMode",
                                            "PortBindings",
                                            "HostIp",
                                            "HostPort",
                                            "PublishAllPorts",
                                            "RestartPolicy",
                                            "MaximumRetryCount",
                                            "CapAdd",
                                            "CapDrop",
                                            "Privileged",
                                            "SecurityOpt",
                                            "Ulimits",
                                            "Soft",
                                            "Hard",
                                            "Devices",
                                            "PathOnHost",
                                            "PathInContainer",
                                            "CgroupPermissions",
                                            "Memory",
                                            "NanoCpus",
                                            "PidsLimit",
                                            "CpusetCpus",
                                            "ShmSize",
                                            "Sysctls",
                                            "PidMode",
                                            "IpcMode",
                                            "UTSMode",
                                            "UsernsMode",
                                            "CgroupnsMode",
                                            "ExtraHosts",
                                            "Dns",
                                            "LogConfig",
                                            "Config",
                                            "Init",
                                            "MaskedPaths",
                                            "ReadonlyPaths",
                                            "ReadonlyRootfs",
                                            "GroupAdd",
                                            "OomScoreAdj",
                                            "NetworkingConfig",
                                            "EndpointsConfig",
                                            "bridge",
                                            "MacAddress",
                                            "IPAMConfig",
                                            "ConsoleSize",
                                            "DeviceRequests",
                                            "a",
                                            "/a",
                                            "/a:/b",
                                            "v:/b:ro,z",
                                            "80/tcp",
                                            "8000-8010/udp",
                                            "host",
                                            "none",
                                            "container:a",
                                            "keep-id",
                                            "ALL",
                                            "NET_ADMIN",
                                            "seccomp=unconfined",
                                            "no-new-privileges",
                                            "label=disable",
                                            "SIGTERM",
                                            "CMD-SHELL",
                                            "NONE",
                                            "always",
                                            "on-failure",
                                            "bind",
                                            "volume",
                                            "tmpfs",
                                            "image",
                                            "rprivate",
                                            "net.ipv4.ip_forward",
                                            "kernel.shm_rmid_forced",
                                            "../a",
                                            "RLIMIT_NOFILE",
                                            "nofile"};
  const std::vector<std::string> filter_words{
      "ancestor", "before", "since",    "exited",  "expose",      "health",
      "id",       "label",  "name",     "network", "publish",     "status",
      "volume",   "a=b",    "a",        "(a*)*b",  "(a+)+$",      "^/a",
      "[",        "(",      "\\",       ".*",      "80/tcp",      "8000-9000",
      "running",  "0",      "{1,1000}", "(?i)a",   "[[:alpha:]]", "a{1000}{1000}"};
  return {
      {.name = "create",
       .run = create,
       .dictionary = body_words,
       .mutate = json_mutator(body_words),
       .inputs = 4'000},
      {.name = "filters",
       .run = filters,
       .dictionary = filter_words,
       .mutate = json_mutator(filter_words),
       .largest = 1024,
       .inputs = 20'000},
      {.name = "credentials",
       .run = credentials,
       .dictionary = {"eyJ1c2VybmFtZSI6ImEifQ==", "{\"username\":\"a\",\"password\":\"b\"}",
                      "identitytoken", "auth", "serveraddress", "linux/arm64/v8", "/"},
       .largest = 1024,
       .inputs = 40'000},
      {.name = "words",
       .run = words,
       .dictionary = {"1h30m",
                      "-1h",
                      "ms",
                      "2024-01-01T00:00:00",
                      "SIGRTMIN+3",
                      "RTMAX",
                      "KILL",
                      "/a:/b:ro",
                      "v:/d:z",
                      "nocopy",
                      "rslave",
                      ":",
                      ",",
                      "size=64m",
                      "mode=1777",
                      "8000-8010/tcp",
                      "/udp",
                      "/sctp",
                      "keep-id:uid=1,gid=2",
                      "CAP_",
                      "cap_sys_admin",
                      "ALL",
                      "seccomp={}",
                      "apparmor=",
                      "label=",
                      "=",
                      "9223372036854775807h",
                      "1e9",
                      "65536",
                      "..",
                      "/.."},
       .largest = 256,
       .inputs = 20'000},
      {.name = "detach_keys",
       .run = detach_keys,
       .dictionary = {"ctrl-p,ctrl-q", "ctrl-@", "ctrl-[", "a,a,b", "a", ",", std::string(1, '\0'),
                      "\x10\x11", "aab", std::string("a,a,b\0aaab", 10)},
       .largest = 128,
       .inputs = 80'000},
  };
}

}  // namespace coracle::fuzz
