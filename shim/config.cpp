#include "shim/config.hpp"

#include <unistd.h>

#include <cstdlib>
#include <set>

#include "engine/base/private_dir.hpp"
#include "shim/container_defaults.hpp"
#include "shim/directives.hpp"
#include "shim/trust_policy.hpp"

namespace coracle::shim {
namespace {

std::string env_of(const Surroundings& around, const char* name) {
  const auto found = around.env.find(name);
  return found == around.env.end() ? "" : found->second;
}

// An XDG directory: the variable when it is absolute, else a path below the home directory.
Result<std::string> xdg(const Surroundings& around, const char* variable, const char* below_home) {
  if (const auto value = env_of(around, variable); value.starts_with('/')) return value;
  const auto home = env_of(around, "HOME");
  if (!home.starts_with('/'))
    return fail(Errc::invalid_argument,
                "neither {} nor HOME is set: set one, or give --data-root and --config-file",
                variable);
  return home + "/" + below_home;
}

Result<std::string> absolute(const std::string& name, const std::string& path) {
  if (path.starts_with('/')) return path;
  return fail(Errc::invalid_argument, "{}: \"{}\" is not an absolute path", name, path);
}

// A TCP port would hand the whole account to everybody who reaches it.
Result<std::string> socket_path(const std::string& host) {
  constexpr std::string_view kScheme = "unix://";
  if (host.starts_with(kScheme)) return absolute("host", host.substr(kScheme.size()));
  if (host.starts_with('/')) return host;
  return fail(Errc::invalid_argument,
              "host {}: coracled listens on unix sockets only; give unix:///path/of/socket", host);
}

Result<DaemonConfig> build(const Values& v, const Surroundings& around) {
  DaemonConfig c;
  std::string runtime;
  if (!v.contains("exec-root") || all(v, "host").empty()) {
    TRY(runtime, runtime_dir(around, c.warnings));
  }
  TRY(c.exec_root, absolute("exec-root", first(v, "exec-root", runtime + "/coracle")));
  for (const auto& host : all(v, "host")) {
    TRY(auto path, socket_path(host));
    c.hosts.push_back(std::move(path));
  }
  if (c.hosts.empty()) c.hosts.push_back(runtime + "/coracle/docker.sock");
  if (v.contains("data-root")) {
    TRY(c.data_root, absolute("data-root", first(v, "data-root")));
  } else {
    TRY(const auto data, xdg(around, "XDG_DATA_HOME", ".local/share"));
    c.data_root = data + "/coracle";
  }
  c.pidfile = first(v, "pidfile");
  c.storage_driver = first(v, "storage-driver");
  c.log_level = first(v, "log-level", "info");
  static const std::set<std::string> kLevels = {"debug", "info", "warn", "error", "fatal"};
  if (!kLevels.contains(c.log_level))
    return fail(Errc::invalid_argument,
                "invalid logging level: {} (debug, info, warn, error or fatal)", c.log_level);
  c.mirrors = all(v, "registry-mirror");
  for (const auto& mirror : c.mirrors) {
    if (!mirror.starts_with("http://") && !mirror.starts_with("https://"))
      return fail(Errc::invalid_argument,
                  "invalid mirror: \"{}\" must begin with http:// or https://", mirror);
  }
  c.cdi_spec_dirs = all(v, "cdi-spec-dir");
  if (c.cdi_spec_dirs.empty()) {
    c.cdi_spec_dirs = {"/etc/cdi", "/var/run/cdi"};
    // What an ordinary user can write.
    if (const auto own = xdg(around, "XDG_CONFIG_HOME", ".config"))
      c.cdi_spec_dirs.push_back(*own + "/cdi");
    if (const auto dir = env_of(around, "XDG_RUNTIME_DIR"); dir.starts_with('/'))
      c.cdi_spec_dirs.push_back(dir + "/cdi");
  }
  c.proxies = {first(v, "http-proxy"), first(v, "https-proxy"), first(v, "no-proxy")};
  c.insecure_registries = all(v, "insecure-registry");
  // As rootless Docker's, and then the host's.
  if (const auto own = xdg(around, "XDG_CONFIG_HOME", ".config"))
    c.certificate_folders.push_back(*own + "/docker/certs.d");
  c.certificate_folders.emplace_back("/etc/docker/certs.d");
  TRY(c.policy, parse_trust_policy(first(v, "policy")));
  c.log_driver = first(v, "log-driver");
  for (const auto& pair : all(v, "log-opt")) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos)
      return fail(Errc::invalid_argument, "log-opt: \"{}\": expected KEY=VALUE", pair);
    c.log_options[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  TRY(c.defaults, container_defaults(v));
  c.labels = all(v, "label");
  c.debug = first(v, "debug") == "true";
  if (c.debug) c.log_level = "debug";
  return c;
}

}  // namespace

Surroundings current_surroundings() {
  Surroundings out;
  out.uid = ::getuid();
  for (const char* name : {"XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME"}) {
    if (const char* value = std::getenv(name)) out.env[name] = value;
  }
  return out;
}

Result<std::string> runtime_dir(const Surroundings& around, std::vector<std::string>& warnings) {
  TRY(auto dir, coracle::runtime_dir(env_of(around, "XDG_RUNTIME_DIR"), around.uid));
  if (!dir.warning.empty()) warnings.push_back(std::move(dir.warning));
  return std::move(dir.path);
}

Result<Loaded> load_config(const std::vector<std::string>& args, const Surroundings& around) {
  Loaded out;
  std::vector<std::string> notes;
  TRY(const auto flags, parse_flags(args, notes));
  if (first(flags, "help") == "true") {
    out.what = Loaded::What::show_help;
    return out;
  }
  if (first(flags, "version") == "true") {
    out.what = Loaded::What::show_version;
    return out;
  }
  std::string path = first(flags, "config-file");
  const bool asked_for = !path.empty();
  if (!asked_for) {
    const auto dir = xdg(around, "XDG_CONFIG_HOME", ".config");
    if (dir) path = *dir + "/coracle/daemon.json";
  }
  Values merged = flags;
  auto file = path.empty() ? Result<Values>(Values{}) : parse_file(path, notes);
  // The default file need not be there.
  if (!file && !asked_for && file.error().code == Errc::not_found) file = Values{};
  if (file) {
    const auto good = no_conflicts(flags, *file);
    if (!good) file = std::unexpected(good.error());
  }
  if (!file)
    return std::unexpected(
        file.error().within("unable to configure the daemon with file {}", path));
  for (auto& [name, values] : *file) merged[name] = values;
  TRY(out.config, build(merged, around));
  out.config.notes = std::move(notes);
  if (first(flags, "validate") == "true") out.what = Loaded::What::validated;
  return out;
}

}  // namespace coracle::shim
