#include "shim/directives.hpp"

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/text.hpp"
#include "engine/face/config.hpp"
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
  object,   // in the file alone; its value is JSON
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
    {"http-proxy", 0, "http-proxy", Kind::text, "proxy for http registries"},
    {"https-proxy", 0, "https-proxy", Kind::text, "proxy for https registries"},
    {"icc", 0, "icc", Kind::boolean, "containers of the network bridge reach each other"},
    {"init", 0, "init", Kind::boolean, "run coracle-init in containers that do not say"},
    {"label", 0, "labels", Kind::list, "label of the daemon, shown by docker info (several)"},
    {"no-new-privileges", 0, "no-new-privileges", Kind::boolean,
     "set it for containers that do not say"},
    {"no-proxy", 0, "no-proxy", Kind::text, "hosts that are reached without a proxy"},
    {"host", 'H', "hosts", Kind::list,
     "socket to listen on, unix://PATH (may be given several times)"},
    {"insecure-registry", 0, "insecure-registries", Kind::list,
     "registry that may be spoken to without TLS (several)"},
    {"log-driver", 0, "log-driver", Kind::text, "log driver of containers that name none"},
    {"log-level", 'l', "log-level", Kind::text, "debug, info, warn, error or fatal"},
    {"log-opt", 0, "log-opts", Kind::pairs, "option of that log driver, KEY=VALUE (several)"},
    {"pidfile", 'p', "pidfile", Kind::text, "file to write the process id to"},
    {"policy", 0, "policy", Kind::object,
     "which registries and images are trusted (in the file alone)"},
    {"registry-mirror", 0, "registry-mirrors", Kind::list,
     "mirror of the default registry (several)"},
    {"storage-driver", 's', "storage-driver", Kind::text, "overlay, fuse-overlayfs, copy or auto"},
    {"validate", 0, nullptr, Kind::boolean,
     "read the settings, say whether they are right, and end"},
    {"version", 'v', nullptr, Kind::boolean, "print the version"},
};

// In the file the directives NAME-proxy stand in an object of this name.
constexpr std::string_view kProxies = "proxies";

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
  if (d.kind == Kind::object)
    return fail(Errc::invalid_argument, "{}: it is set in the configuration file alone", shown);
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
    case Kind::object:
      if (!v.is_object()) return wrong("an object");
      return std::vector<std::string>{json::serialize(v)};
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

Result<> take_keys(const boost::json::object& from, Values& values,
                   std::vector<std::string>& unknown, std::vector<std::string>& notes) {
  for (const auto& [key, value] : from) {
    if (key == kProxies && value.is_object()) {
      for (const auto& [name, proxy] : value.get_object()) {
        const Directive* d = by_key(name);
        if (d == nullptr || !name.ends_with("-proxy")) {
          unknown.push_back(std::string(kProxies) + "." + std::string(name));
        } else {
          TRY(values[d->flag], values_of(*d, proxy));
        }
      }
      continue;
    }
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
  return {};
}

}  // namespace

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

Result<Values> parse_file(const std::string& path, std::vector<std::string>& notes) {
  TRY(const auto text, read_file(path, std::size_t{1} << 20));
  Values values;
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return values;
  TRY(const auto json, json::parse(text));
  if (!json.is_object()) return fail(Errc::invalid_argument, "expected a JSON object");
  std::vector<std::string> unknown;
  CHECK(take_keys(json.get_object(), values, unknown, notes));
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

std::string first(const Values& values, const char* name, std::string otherwise) {
  const auto found = values.find(name);
  return found == values.end() || found->second.empty() ? std::move(otherwise)
                                                        : found->second.front();
}
std::vector<std::string> all(const Values& values, const char* name) {
  const auto found = values.find(name);
  return found == values.end() ? std::vector<std::string>{} : found->second;
}

std::string help_text() {
  std::string out =
      "Usage: coracled [OPTIONS]\n       coracle check [--repair] [--deep] [OPTIONS]\n       "
      "coracle reset [--force] [OPTIONS]\n\nA rootless "
      "container engine that speaks Docker's API.\n\n"
      "Options:\n";
  for (const auto& d : kDirectives) {
    if (d.kind == Kind::object) continue;
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
