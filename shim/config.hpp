// How coracled is started: dockerd's flags and daemon.json, and where everything lies by default.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/face/config.hpp"
#include "storage/content/trust_policy.hpp"

namespace coracle::shim {

// "" for what is not given: the environment's counts then.
struct Proxies {
  std::string http, https, none_for;
};

struct DaemonConfig {
  std::vector<std::string> hosts;  // paths of unix sockets; never empty after load()
  std::string data_root, exec_root, pidfile;
  std::string storage_driver, log_level = "info";
  std::vector<std::string> mirrors, insecure_registries;
  Proxies proxies;
  std::vector<std::string> certificate_folders;  // certs.d: what registries are trusted by
  storage::TrustPolicy policy;
  std::vector<std::string> cdi_spec_dirs;  // never empty after load()
  std::string log_driver;                  // of containers that name none; "": json-file
  std::map<std::string, std::string> log_options;
  ContainerDefaults defaults;
  std::vector<std::string> labels;  // shown in /info
  bool debug = false;
  std::vector<std::string> notes;     // of dockerd's directives that have no meaning here
  std::vector<std::string> warnings;  // about the defaults that had to be taken
};

// What the defaults depend on, as a value, so that tests can choose it.
struct Surroundings {
  std::uint32_t uid = 0;
  std::map<std::string, std::string> env;  // XDG_RUNTIME_DIR, XDG_DATA_HOME, XDG_CONFIG_HOME, HOME
};
Surroundings current_surroundings();

// The outcome of reading the command line.
struct Loaded {
  enum class What : std::uint8_t { run, show_version, show_help, validated } what = What::run;
  DaemonConfig config;
};

// Reads the flags (without argv[0]) and the configuration file, then fills in the defaults.
//   errors  invalid_argument: an unknown flag or key, a value of the wrong kind, the same directive
//           both as a flag and in the file
Result<Loaded> load_config(const std::vector<std::string>& args, const Surroundings& around);

// $XDG_RUNTIME_DIR; without it /run/user/UID if it is ours, else /tmp/coracle-UID (made with mode
// 0700; its owner is checked), each with a warning.
Result<std::string> runtime_dir(const Surroundings& around, std::vector<std::string>& warnings);

}  // namespace coracle::shim
