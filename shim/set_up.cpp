#include "shim/set_up.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "engine/base/file.hpp"
#include "engine/base/private_dir.hpp"
#include "engine/base/text.hpp"

namespace coracle {

Result<UniqueFd> lock_root(const std::string& root, const char* what) {
  if (auto ours = take_private_dir(root); !ours)
    return std::unexpected(ours.error().within("{}", what));
  const std::string path = root + "/coracled.lock";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return sys_error("open {}", path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    auto owner = read_file(path, 64);
    while (owner && !owner->empty() && owner->back() == '\n') owner->pop_back();
    return fail(Errc::conflict,
                "another coracled (pid {}) uses the {} {}: stop it, or give another --{}",
                owner && !owner->empty() ? *owner : "unknown", what, root, what);
  }
  if (::ftruncate(fd.get(), 0) != 0) return sys_error("write {}", path);
  CHECK(write_all(fd, fmt::format("{}\n", ::getpid())));
  return fd;
}

EngineConfig engine_config(const shim::DaemonConfig& config, rootless::Entered entered) {
  EngineConfig e;
  e.data_root = config.data_root;
  e.exec_root = config.exec_root;
  e.socket_path = config.hosts.front();
  e.storage.root = config.data_root + "/storage";
  e.storage.driver = config.storage_driver;
  e.storage.mirrors = config.mirrors;
  e.storage.insecure_registries = config.insecure_registries;
  e.storage.certificate_folders = config.certificate_folders;
  e.storage.policy = config.policy;
  e.storage.one_id = entered.one_id;
  e.log = {config.log_driver, config.log_options};
  e.one_id = entered.one_id;
  e.defaults = config.defaults;
  e.labels = config.labels;
  e.cdi_spec_dirs = config.cdi_spec_dirs;
  e.set_up_warnings = config.warnings;
  for (auto& w : entered.warnings) e.set_up_warnings.push_back(std::move(w));
  e.lifeline = std::move(entered.lifeline);
  return e;
}

void set_proxies(const shim::Proxies& proxies) {
  const auto set = [](const std::string& name, const std::string& value) {
    if (value.empty()) return;
    ::setenv(name.c_str(), value.c_str(), 1);
    ::setenv(lower(name).c_str(), value.c_str(), 1);
  };
  set("HTTP_PROXY", proxies.http);
  set("HTTPS_PROXY", proxies.https);
  set("NO_PROXY", proxies.none_for);
}

}  // namespace coracle
