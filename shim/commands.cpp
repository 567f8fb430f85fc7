#include "shim/commands.hpp"

#include <unistd.h>

#include <cstdio>
#include <optional>
#include <utility>

#include "engine/base/file.hpp"
#include "engine/check.hpp"
#include "engine/face/config.hpp"
#include "engine/reset.hpp"
#include "engine/rootless/keeper.hpp"
#include "shim/config.hpp"
#include "shim/set_up.hpp"

namespace coracle {
namespace {

constexpr const char* kCheckHelp =
    "Usage: coracle check [--repair] [--deep] [OPTIONS of coracled]\n\n"
    "Looks through the data root for what is damaged or missing; one line a finding.\n\n"
    "      --repair   move damaged objects to lost+found, and pull images again that a registry\n"
    "                 has; no daemon may run\n"
    "      --deep     read and hash every blob, and compare each layer's directory with its "
    "blob\n\n"
    "Exit status: 0 all is well, 1 something is left to mend, 2 it cannot be looked at.\n";

constexpr const char* kResetHelp =
    "Usage: coracle reset [--force] [OPTIONS of coracled]\n\n"
    "Removes all containers, images, volumes and networks of the data root. No daemon may run;\n"
    "settings and credentials stay.\n\n"
    "  -f, --force    ask nobody, and end the containers that run\n\n"
    "Exit status: 0 it is done, 1 it was not wanted, 2 it cannot be done.\n";

int told(const Error& error) {
  std::fprintf(stderr, "coracle: %s\n", error.message.c_str());
  return 2;
}

struct Settings {
  shim::DaemonConfig config;
  std::optional<int> status;  // there is nothing more to do
};
Settings settings_of(const std::vector<std::string>& args, const char* command, const char* help) {
  const auto loaded = shim::load_config(args, shim::current_surroundings());
  if (!loaded) return {{}, told(loaded.error())};
  if (loaded->what == shim::Loaded::What::validated) {
    std::puts("configuration OK");
    return {{}, 0};
  }
  if (loaded->what != shim::Loaded::What::run) {
    std::fputs(help, stdout);
    return {{}, 0};
  }
  if (::geteuid() == 0) {
    std::fprintf(stderr, "coracle: %s runs as the user whose containers they are, not as root\n",
                 command);
    return {{}, 2};
  }
  return {loaded->config, {}};
}

bool take_flag(std::vector<std::string>& args, const std::string& name) {
  return std::erase(args, name) > 0;
}

// "3 containers (1 running), 2 images and 1 volume of /home/ann/.local/share/coracle"
std::string counted(const ResetReport& there, const std::string& data_root) {
  const auto some = [](std::size_t n, const char* what) {
    return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
  };
  const auto running =
      there.running.empty() ? std::string() : fmt::format(" ({} running)", there.running.size());
  return fmt::format("{}{}, {} and {} of {}", some(there.containers, "container"), running,
                     some(there.images, "image"), some(there.volumes, "volume"), data_root);
}

bool is_wanted(const std::string& what) {
  std::printf("This removes %s, for good.\nAre you sure you want to continue? [y/N] ",
              what.c_str());
  std::fflush(stdout);
  const int answer = std::getchar();
  return answer == 'y' || answer == 'Y';
}

}  // namespace

int run_check(std::vector<std::string> args) {
  CheckRequest request;
  request.repair = take_flag(args, "--repair");
  request.deep = take_flag(args, "--deep");
  const auto [config, status] = settings_of(args, "check", kCheckHelp);
  if (status) return *status;
  request.data_root = config.data_root;
  request.exec_root = config.exec_root;
  set_proxies(config.proxies);
  // Layers can be read as what they are in the keeper's namespaces alone; it lives while this does.
  std::optional<EngineConfig> inside;
  const auto enter = [&inside, &config = config]() -> Result<> {
    if (inside) return {};
    TRY(auto entered, rootless::enter_keeper(config.exec_root));
    inside = engine_config(config, std::move(entered));
    return {};
  };
  if (request.deep && exists(config.data_root)) {
    if (const auto in = enter(); !in) return told(in.error().within("check --deep"));
    request.in_namespaces = true;
    request.one_id = inside->one_id;
  }
  auto report = check(request);
  if (!report) return told(report.error());
  auto pulled = report->lost.empty() ? Result<>() : enter();
  if (pulled && !report->lost.empty()) {
    auto storage = inside->storage;
    storage.volumes = config.data_root + "/volumes";
    pulled = pull_again(*report, request, std::move(storage));
  }
  std::fputs(to_text(*report).c_str(), stdout);
  if (!pulled) return told(pulled.error().within("pull images again"));
  return report->open() == 0 ? 0 : 1;
}

int run_reset(std::vector<std::string> args) {
  const bool is_long = take_flag(args, "--force");
  const bool force = take_flag(args, "-f") || is_long;
  const auto [config, status] = settings_of(args, "reset", kResetHelp);
  if (status) return *status;
  const auto there = look_before_reset(config.data_root, config.exec_root);
  if (!there) return told(there.error());
  const auto what = counted(*there, config.data_root);
  if (!force && ::isatty(STDIN_FILENO) == 0) {
    std::fprintf(stderr, "coracle: reset removes %s: --force says that it is wanted\n",
                 what.c_str());
    return 1;
  }
  if (!force && !is_wanted(what)) return 1;
  const auto data_lock = lock_root(config.data_root, "data-root");
  if (!data_lock) return told(data_lock.error());
  const auto exec_lock = lock_root(config.exec_root, "exec-root");
  if (!exec_lock) return told(exec_lock.error());
  // From here on nobody starts any.
  const auto now_there = look_before_reset(config.data_root, config.exec_root);
  if (!now_there) return told(now_there.error());
  if (const auto ended = end_containers(now_there->running); !ended) return told(ended.error());
  // What lies there belongs to ids that are ours in the keeper's namespaces alone.
  const auto entered = rootless::enter_keeper(config.exec_root);
  if (!entered) return told(entered.error());
  if (const auto done = reset(config.data_root, config.exec_root); !done) return told(done.error());
  std::printf("removed %s\n", what.c_str());
  return 0;
}

}  // namespace coracle
