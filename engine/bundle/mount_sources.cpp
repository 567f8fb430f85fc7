#include "engine/bundle/mount_sources.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

#include "engine/base/path.hpp"

namespace coracle {
namespace {

constexpr mode_t kMode = 0755;

bool is_same_file(const std::string& a, const std::string& b) {
  struct stat x {
  }, y{};
  return ::stat(a.c_str(), &x) == 0 && ::stat(b.c_str(), &y) == 0 && x.st_dev == y.st_dev &&
         x.st_ino == y.st_ino;
}

// As mkdir -p, each new directory with its mode whatever the umask.
Result<> make_all(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0) return {};
  const std::string parent = parent_path(path);
  if (parent != path) CHECK(make_all(parent));
  if (::mkdir(path.c_str(), kMode) != 0) {
    if (errno == EEXIST) return {};
    return sys_error("mkdir {}", path);
  }
  if (::chmod(path.c_str(), kMode) != 0) return sys_error("set the mode of {}", path);
  return {};
}

}  // namespace

bool names_our_socket(const EngineConfig& config, const std::string& source) {
  if (source == "/var/run/docker.sock" || source == "/run/docker.sock") return true;
  if (source == config.socket_path || source == config.guest_socket_path) return true;
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && source == std::string(runtime) + "/docker.sock") return true;
  return source.ends_with(".sock") && is_same_file(source, config.socket_path);
}

const std::string& socket_for_guests(const EngineConfig& config) {
  return config.guest_socket_path.empty() ? config.socket_path : config.guest_socket_path;
}

Result<> check_bind_sources(const EngineConfig& config, const std::vector<MountRecord>& mounts) {
  for (const auto& m : mounts) {
    if (m.type != MountType::bind || m.create_source || names_our_socket(config, m.source))
      continue;
    struct stat st {};
    if (::stat(m.source.c_str(), &st) == 0) continue;
    if (errno == ENOENT || errno == ENOTDIR)
      return fail(Errc::invalid_argument,
                  "invalid mount config for type \"bind\": bind source path does not exist: {}",
                  m.source);
    return sys_error("invalid mount config for type \"bind\": stat {}", m.source);
  }
  return {};
}

std::vector<std::string> sources_to_make(const EngineConfig& config,
                                         const std::vector<MountRecord>& mounts) {
  std::vector<std::string> out;
  for (const auto& m : mounts) {
    if (m.type == MountType::bind && m.create_source && !names_our_socket(config, m.source))
      out.push_back(m.source);
  }
  return out;
}

Result<> make_source(const std::string& path) {
  if (auto made = make_all(path); !made)
    return std::unexpected(
        made.error().within("error while creating mount source path '{}'", path));
  return {};
}

}  // namespace coracle
