#include "shim/config.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/private_dir.hpp"
#include "engine/base/text.hpp"
#include "shim/foreign_flags.hpp"

namespace coracle::shim {
namespace {

// One directive: its flag, its key in daemon.json, and where its value goes.
enum class Kind : std::uint8_t {
  text,
  list,
  pairs,  // "key=value" as a flag (several), an object in the file
  boolean,
  ulimits,  // "nofile=1024:2048" as a flag (several), an object of {Name, Soft, Hard} in the file
  size,     // bytes, or with a unit ("64m")
};
struct Directive {
  const char* flag;  // long, without "--"
  char letter;       // short, 0 = none
  const char* key;   // in the file, nullptr = flag only
  Kind kind;
  const char* help;
};
constexpr Directive kDirectives[] = {
    {"cdi-spec-dir", 0, "cdi-spec-dirs", Kind::list,
     "directory of CDI specifications (several; default /etc/cdi, /var/run/cdi and the user's "
     "own)"},
    {"config-file", 0, nullptr, Kind::text,
     "configuration file (default ~/.config/coracle/daemon.json)"},
    {"data-root", 0, "data-root", Kind::text, "where images, containers and volumes are kept"},
    {"bridge", 'b', "bridge", Kind::text, "none: containers that name no network have none"},
    {"debug", 'D', "debug", Kind::boolean, "debug log"},
    {"default-cgroupns-mode", 0, "default-cgroupns-mode", Kind::text,
     "cgroup namespace of containers that name none (host, private)"},
    {"default-ipc-mode", 0, "default-ipc-mode", Kind::text,
     "IPC mode of containers that name none (private, shareable)"},
    {"default-shm-size", 0, "default-shm-size", Kind::size, "size of /dev/shm (default 64m)"},
    {"default-ulimit", 0, "default-ulimits", Kind::ulimits,
     "limit of containers that do not set it, NAME=SOFT[:HARD] (several)"},
    {"dns", 0, "dns", Kind::list, "name server of containers that name none (several)"},
    {"dns-opt", 0, "dns-opts", Kind::list, "option of resolv.conf (several)"},
    {"dns-search", 0, "dns-search", Kind::list, "search domain (several)"},
    {"exec-root", 0, "exec-root", Kind::text, "where sockets and state of running things are kept"},
    {"help", 0, nullptr, Kind::boolean, "print this"},
    {"host-gateway-ip", 0, "host-gateway-ip", Kind::text, "what host-gateway means in --add-host"},
    {"icc", 0, "icc", Kind::boolean, "containers of the network bridge reach each other"},
    {"init", 0, "init", Kind::boolean, "run coracle-init in containers that do not say"},
    {"label", 0, "labels", Kind::list, "label of the daemon, shown by docker info (several)"},
    {"no-new-privileges", 0, "no-new-privileges", Kind::boolean,
     "set it for containers that do not say"},
    {"host", 'H', "hosts", Kind::list,
     "socket to listen on, unix://PATH (may be given several times)"},
    {"insecure-registry", 0, "insecure-registries", Kind::list,
     "registry that may be spoken to without TLS (several)"},
    {"log-driver", 0, "log-driver", Kind::text, "log driver of containers that name none"},
    {"log-level", 'l', "log-level", Kind::text, "debug, info, warn, error or fatal"},
    {"log-opt", 0, "log-opts", Kind::pairs, "option of that log driver, KEY=VALUE (several)"},
    {"pidfile", 'p', "pidfile", Kind::text, "file to write the process id to"},
    {"registry-mirror", 0, "registry-mirrors", Kind::list,
     "mirror of the default registry (several)"},
    {"storage-driver", 's', "storage-driver", Kind::text, "overlay, fuse-overlayfs, copy or auto"},
    {"validate", 0, nullptr, Kind::boolean,
     "read the settings, say whether they are right, and end"},
    {"version", 'v', nullptr, Kind::boolean, "print the version"},
};

// Directive's flag -> values as text ("true" and "false" for a boolean).
using Values = std::map<std::string, std::vector<std::string>>;

const Directive* by_flag(const std::string& name) {
  for (const auto& d : kDirectives) {
    if (name == d.flag) return &d;
  }
  return nullptr;
}
const Directive* by_letter(char letter) {
  for (const auto& d : kDirectives) {
    if (letter == d.letter) return &d;
  }
  return nullptr;
}
const Directive* by_key(std::string_view key) {
  for (const auto& d : kDirectives) {
    if (d.key != nullptr && key == d.key) return &d;
  }
  return nullptr;
}

Result<std::string> boolean_text(const std::string& where, const std::string& text) {
  if (const auto on = parse_go_bool(text)) return *on ? "true" : "false";
  return fail(Errc::invalid_argument, "invalid argument \"{}\" for {}: expected true or false",
              text, where);
}

Result<> take(Values& values, const Directive& d, const std::string& shown,
              std::optional<std::string> value) {
  if (d.kind == Kind::boolean) {
    TRY(auto text, boolean_text(shown, value.value_or("true")));
    values[d.flag] = {std::move(text)};
    return {};
  }
  if (!value) return fail(Errc::invalid_argument, "flag needs an argument: {}", shown);
  if (d.kind == Kind::list || d.kind == Kind::pairs || d.kind == Kind::ulimits)
    values[d.flag].push_back(*std::move(value));
  else
    values[d.flag] = {*std::move(value)};
  return {};
}

// A flag or key of dockerd's, and what is said of it in the log.
Result<> note_foreign(const ForeignDirective& d, const std::string& shown,
                      std::vector<std::string>& notes) {
  if (d.refused) return fail(Errc::invalid_argument, "{}: {}", shown, d.why);
  notes.push_back(shown + ": " + d.why);
  return {};
}

// Of a foreign key: as good as not there.
bool says_nothing(const json::Value& v) {
  return v.is_null() || (v.is_bool() && !v.get_bool()) ||
         (v.is_string() && v.get_string().empty()) || (v.is_array() && v.get_array().empty()) ||
         (v.is_object() && v.get_object().empty()) || (v.is_int64() && v.get_int64() == 0);
}

Result<Values> parse_flags(const std::vector<std::string>& args, std::vector<std::string>& notes) {
  Values values;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg.size() < 2 || arg[0] != '-')
      return fail(Errc::invalid_argument, "coracled takes no arguments, only flags: \"{}\"", arg);
    std::optional<std::string> value;
    const Directive* d = nullptr;
    std::string shown;
    if (arg[1] == '-') {
      const auto equals = arg.find('=');
      shown = arg.substr(0, equals);
      d = by_flag(shown.substr(2));
      if (equals != std::string::npos) value = arg.substr(equals + 1);
    } else {
      shown = arg.substr(0, 2);
      d = by_letter(arg[1]);
      if (arg.size() > 2) value = arg.substr(arg[2] == '=' ? 3 : 2);
    }
    if (d == nullptr) {
      const auto* foreign =
          arg[1] == '-' ? foreign_by_flag(shown.substr(2)) : foreign_by_letter(arg[1]);
      if (foreign == nullptr)
        return fail(Errc::invalid_argument, "unknown flag: {} (see --help)", shown);
      if (!value && !foreign->boolean && ++i == args.size())
        return fail(Errc::invalid_argument, "flag needs an argument: {}", shown);
      if (!foreign->boolean || value != "false") CHECK(note_foreign(*foreign, shown, notes));
      continue;
    }
    if (!value && d->kind != Kind::boolean && i + 1 < args.size()) value = args[++i];
    CHECK(take(values, *d, shown, std::move(value)));
  }
  return values;
}

Result<std::vector<std::string>> values_of(const Directive& d, const json::Value& v) {
  const auto wrong = [&](const char* expected) {
    return fail(Errc::invalid_argument, "{}: expected {}", d.key, expected);
  };
  switch (d.kind) {
    case Kind::boolean:
      if (!v.is_bool()) return wrong("true or false");
      return std::vector<std::string>{v.get_bool() ? "true" : "false"};
    case Kind::text:
      if (!v.is_string()) return wrong("a string");
      return std::vector<std::string>{std::string(v.get_string())};
    case Kind::pairs: {
      if (!v.is_object()) return wrong("an object of strings");
      std::vector<std::string> pairs;
      for (const auto& [key, value] : v.get_object()) {
        if (!value.is_string()) return wrong("an object of strings");
        pairs.push_back(std::string(key) + "=" + std::string(value.get_string()));
      }
      return pairs;
    }
    case Kind::size:
      if (v.is_int64()) return std::vector<std::string>{std::to_string(v.get_int64())};
      if (!v.is_string()) return wrong("a size");
      return std::vector<std::string>{std::string(v.get_string())};
    case Kind::ulimits: {
      TRY(const auto limits, (json::from_json<std::map<std::string, Ulimit>>(v)));
      std::vector<std::string> out;
      for (const auto& [name, limit] : limits)
        out.push_back(fmt::format("{}={}:{}", name, limit.soft, limit.hard));
      return out;
    }
    case Kind::list: break;
  }
  if (!v.is_array()) return wrong("a list of strings");
  std::vector<std::string> out;
  for (const auto& e : v.get_array()) {
    if (!e.is_string()) return wrong("a list of strings");
    out.emplace_back(e.get_string());
  }
  return out;
}

std::string joined(const std::vector<std::string>& list, const char* between) {
  std::string out;
  for (const auto& e : list) out += (out.empty() ? "" : between) + e;
  return out;
}

Result<Values> parse_file(const std::string& path, std::vector<std::string>& notes) {
  TRY(const auto text, read_file(path, std::size_t{1} << 20));
  Values values;
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return values;
  TRY(const auto json, json::parse(text));
  if (!json.is_object()) return fail(Errc::invalid_argument, "expected a JSON object");
  std::vector<std::string> unknown;
  for (const auto& [key, value] : json.get_object()) {
    const Directive* d = by_key(key);
    if (d == nullptr) {
      if (const auto* foreign = foreign_by_key(key); foreign == nullptr) {
        unknown.emplace_back(key);
      } else if (!says_nothing(value)) {
        CHECK(note_foreign(*foreign, std::string(key), notes));
      }
      continue;
    }
    TRY(values[d->flag], values_of(*d, value));
  }
  if (!unknown.empty())
    return fail(Errc::invalid_argument,
                "the following directives don't match any configuration option: {}",
                joined(unknown, ", "));
  return values;
}

Result<> no_conflicts(const Values& flags, const Values& file) {
  std::vector<std::string> both;
  for (const auto& [name, values] : file) {
    const auto found = flags.find(name);
    if (found == flags.end()) continue;
    both.push_back(fmt::format("{}: (from flag: {}, from file: {})", by_flag(name)->key,
                               joined(found->second, ","), joined(values, ",")));
  }
  if (both.empty()) return {};
  return fail(Errc::invalid_argument,
              "the following directives are specified both as a flag and in the configuration "
              "file: {}",
              joined(both, ", "));
}

std::string first(const Values& values, const char* name, std::string otherwise = "") {
  const auto found = values.find(name);
  return found == values.end() || found->second.empty() ? std::move(otherwise)
                                                        : found->second.front();
}
std::vector<std::string> all(const Values& values, const char* name) {
  const auto found = values.find(name);
  return found == values.end() ? std::vector<std::string>{} : found->second;
}

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

// What containers that leave it open get.
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
  c.insecure_registries = all(v, "insecure-registry");
  // As rootless Docker's, and then the host's.
  if (const auto own = xdg(around, "XDG_CONFIG_HOME", ".config"))
    c.certificate_folders.push_back(*own + "/docker/certs.d");
  c.certificate_folders.emplace_back("/etc/docker/certs.d");
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

std::string help_text() {
  std::string out =
      "Usage: coracled [OPTIONS]\n       coracle check [--repair] [--deep] [OPTIONS]\n\nA rootless "
      "container engine that speaks Docker's API.\n\n"
      "Options:\n";
  for (const auto& d : kDirectives) {
    const std::string letter = d.letter == 0 ? "    " : fmt::format("-{}, ", d.letter);
    const char* kind = d.kind == Kind::boolean ? ""
                       : d.kind == Kind::list || d.kind == Kind::pairs || d.kind == Kind::ulimits
                           ? " list"
                           : " string";
    out += fmt::format("  {}--{:<28} {}\n", letter, std::string(d.flag) + kind, d.help);
  }
  return out;
}

}  // namespace coracle::shim
