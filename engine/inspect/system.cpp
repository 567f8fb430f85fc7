#include "engine/inspect/system.hpp"

#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <sstream>
#include <utility>

#include "engine/base/file.hpp"
#include "engine/bundle/cdi_files.hpp"
#include "engine/keeper_watch.hpp"
#include "engine/request/log_options.hpp"

namespace coracle {
namespace {

constexpr long kCgroup2Magic = 0x63677270;

// One value of os-release(5).
std::string os_release(const std::string& text, const std::string& key) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(key + "=")) continue;
    std::string value = line.substr(key.size() + 1);
    if (value.size() >= 2 && (value[0] == '"' || value[0] == '\''))
      value = value.substr(1, value.size() - 2);
    return value;
  }
  return "";
}

Result<std::string> engine_id(const std::string& data_root) {
  const auto path = data_root + "/engine-id";
  if (auto text = read_file(path)) {
    while (!text->empty() && text->back() == '\n') text->pop_back();
    if (!text->empty()) return *text;
  }
  const auto hex = random_id();
  const auto id = hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" +
                  hex.substr(16, 4) + "-" + hex.substr(20, 12);
  CHECK(write_file_atomic(path, id + "\n"));
  return id;
}

std::map<std::string, std::uint64_t> hard_limits() {
  constexpr std::array kLimits = {std::pair{"RLIMIT_AS", RLIMIT_AS},
                                  std::pair{"RLIMIT_CORE", RLIMIT_CORE},
                                  std::pair{"RLIMIT_CPU", RLIMIT_CPU},
                                  std::pair{"RLIMIT_DATA", RLIMIT_DATA},
                                  std::pair{"RLIMIT_FSIZE", RLIMIT_FSIZE},
                                  std::pair{"RLIMIT_LOCKS", RLIMIT_LOCKS},
                                  std::pair{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
                                  std::pair{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
                                  std::pair{"RLIMIT_NICE", RLIMIT_NICE},
                                  std::pair{"RLIMIT_NOFILE", RLIMIT_NOFILE},
                                  std::pair{"RLIMIT_NPROC", RLIMIT_NPROC},
                                  std::pair{"RLIMIT_RSS", RLIMIT_RSS},
                                  std::pair{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
                                  std::pair{"RLIMIT_RTTIME", RLIMIT_RTTIME},
                                  std::pair{"RLIMIT_STACK", RLIMIT_STACK},
                                  std::pair{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING}};
  std::map<std::string, std::uint64_t> out;
  for (const auto& [name, which] : kLimits) {
    rlimit limit{};
    if (::getrlimit(which, &limit) == 0) out[name] = limit.rlim_max;
  }
  return out;
}

// How many ids from 0 on are mapped without a gap. See user_namespaces(7).
std::uint32_t mapped_ids(const char* map) {
  std::istringstream lines(read_file(map).value_or(""));
  std::uint32_t next = 0;
  for (std::uint32_t inside = 0, outside = 0, count = 0; lines >> inside >> outside >> count;) {
    if (inside != next || count > std::numeric_limits<std::uint32_t>::max() - next) break;
    next += count;
  }
  return std::max(next, 1U);
}

}  // namespace

Result<HostFacts> look_at_host(const std::string& data_root) {
  HostFacts h;
  TRY(h.id, engine_id(data_root));
  utsname names{};
  ::uname(&names);
  h.name = names.nodename;
  h.kernel = names.release;
  h.machine = names.machine;
  if (const auto text = read_file("/etc/os-release")) {
    h.operating_system = os_release(*text, "PRETTY_NAME");
    h.os_version = os_release(*text, "VERSION_ID");
  }
  if (h.operating_system.empty()) h.operating_system = names.sysname;
  h.cpus = static_cast<std::int32_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  struct sysinfo memory {};
  if (::sysinfo(&memory) == 0)
    h.memory = static_cast<std::int64_t>(memory.totalram) * memory.mem_unit;
  h.seccomp = this_host();
  h.hard_limits = hard_limits();
  h.uids = mapped_ids("/proc/self/uid_map");
  h.gids = mapped_ids("/proc/self/gid_map");
  struct statfs fs {};
  const bool v2 = ::statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == kCgroup2Magic;
  h.cgroup_version = v2 ? "2" : "1";
  return h;
}

SystemInfo System::info() const {
  SystemInfo s;
  s.id = context_.host.id;
  s.name = context_.host.name;
  s.operating_system = context_.host.operating_system;
  s.os_version = context_.host.os_version;
  s.kernel_version = context_.host.kernel;
  s.architecture = context_.host.machine;
  s.cpus = context_.host.cpus;
  s.memory = context_.host.memory;
  for (const auto& [id, c] : context_.table.all()) {
    ++s.containers;
    switch (c->state.status) {
      case Status::running:
      case Status::restarting: ++s.running; break;
      case Status::paused: ++s.paused; break;
      default: ++s.stopped; break;
    }
  }
  s.images = context_.storage->images().size();
  s.driver = context_.storage->driver();
  s.driver_status = context_.storage->driver_status();
  s.log_driver = with_default_log({}, context_.config.log).type;
  s.log_drivers = log_drivers();
  s.cgroup_version = context_.host.cgroup_version;
  s.security_options = {"name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"};
  s.warnings = context_.config.set_up_warnings;
  s.warnings.emplace_back(
      "No cgroup of our own: limits of memory, CPU, PIDs and block I/O are discarded");
  s.warnings.emplace_back(
      "No cgroup freezer of our own: docker pause stops a container's processes by SIGSTOP");
  if (auto trouble = keeper_trouble(context_.config.exec_root); !trouble.empty())
    s.warnings.push_back(std::move(trouble));
  for (const auto& [id, c] : context_.table.all()) {
    // Of one that runs: what it has lost (reattach.cpp).
    if (is_alive(c->state.status) && !c->state.error.empty())
      s.warnings.push_back("container " + c->name() + ": " + c->state.error);
  }
  for (const auto& d : context_.storage->damaged())
    s.warnings.push_back("damaged: " + d.path + ": " + d.reason);
  for (const auto& [id, c] : context_.table.all()) {
    if (!c->damage.empty()) s.warnings.push_back("damaged: " + c->damage);
  }
  if (context_.monitor_program.empty())
    s.warnings.emplace_back(
        "coracle-monitor is not installed beside coracled: no container can start");
  s.data_root = context_.config.data_root;
  s.labels = context_.config.labels;
  s.mirrors = context_.config.storage.mirrors;
  s.insecure_registries = context_.config.storage.insecure_registries;
  s.cdi_spec_dirs = context_.config.cdi_spec_dirs;
  s.event_listeners = context_.events->listeners();
  return s;
}

Task<std::vector<std::string>> System::cdi_devices() {
  auto read = [directories = context_.config.cdi_spec_dirs]() -> Result<std::vector<std::string>> {
    return cdi::qualified_names(cdi::read_specs(directories));
  };
  co_return co_await context_.workers.run(std::move(read));
}

Result<std::unique_ptr<EventStream>> System::events(Time since, Time until, Filters filters) {
  return context_.events->listen(since, until, std::move(filters));
}

void System::reloaded(std::map<std::string, std::string> settings) {
  settings["name"] = context_.host.name;
  announce(*context_.events, "daemon", "reload", context_.host.id, std::move(settings));
}

}  // namespace coracle
