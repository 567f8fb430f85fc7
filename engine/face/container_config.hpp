// What a container is asked to run. describe() uses the field names of Docker and OCI, here and in
// its neighbours, so that one field list serves our state files, the API's requests and its answers;
// what differs by API version is the shim's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/base/json_fwd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

struct Nothing {
  bool operator==(const Nothing&) const = default;
};
void describe(auto& /*field*/, Nothing& /*n*/) {}

// A list that clients may also send as one string: "sh" is {"sh"}. absent and null are different
// from {}.
struct StringList {
  std::vector<std::string> items;
  bool operator==(const StringList&) const = default;
};
json::Value leaf_to_json(const StringList& list);
Result<StringList> leaf_from_json(const json::Value& value, std::type_identity<StringList> /*tag*/);

struct HealthConfig {
  std::vector<std::string> test;  // {} inherit, {"NONE"}, {"CMD", argv…}, {"CMD-SHELL", line}
  std::int64_t interval_ns = 0, timeout_ns = 0, start_period_ns = 0, start_interval_ns = 0;
  std::int32_t retries = 0;
};
void describe(auto& field, HealthConfig& h) {
  field("Test", h.test)("Interval", h.interval_ns)("Timeout", h.timeout_ns)(
      "StartPeriod", h.start_period_ns)("StartInterval", h.start_interval_ns)("Retries", h.retries);
}

struct ContainerConfig {
  std::string hostname, domainname, user;
  bool attach_stdin = false, attach_stdout = false, attach_stderr = false;
  std::map<std::string, Nothing> exposed_ports;  // "80/tcp"
  bool tty = false, open_stdin = false, stdin_once = false;
  std::vector<std::string> env;
  std::optional<StringList> cmd;
  std::optional<HealthConfig> healthcheck;
  bool args_escaped = false;
  std::string image;  // as the client named it
  std::map<std::string, Nothing> volumes;
  std::string working_dir;
  std::optional<StringList> entrypoint;
  bool network_disabled = false;
  std::string mac_address;
  std::vector<std::string> on_build;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::optional<std::int32_t> stop_timeout;  // seconds
  std::optional<StringList> shell;
};
void describe(auto& field, ContainerConfig& c) {
  field("Hostname", c.hostname)("Domainname", c.domainname)("User", c.user)(
      "AttachStdin", c.attach_stdin)("AttachStdout", c.attach_stdout)(
      "AttachStderr", c.attach_stderr)("ExposedPorts", c.exposed_ports)("Tty", c.tty)(
      "OpenStdin", c.open_stdin)("StdinOnce", c.stdin_once)("Env", c.env)("Cmd", c.cmd)(
      "Healthcheck", c.healthcheck)("ArgsEscaped", c.args_escaped)("Image", c.image)(
      "Volumes", c.volumes)("WorkingDir", c.working_dir)("Entrypoint", c.entrypoint)(
      "NetworkDisabled", c.network_disabled)("MacAddress", c.mac_address)("OnBuild", c.on_build)(
      "Labels", c.labels)("StopSignal", c.stop_signal)("StopTimeout", c.stop_timeout)("Shell",
                                                                                      c.shell);
}

}  // namespace coracle
