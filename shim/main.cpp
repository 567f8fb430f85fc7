// coracled: builds the objects and wires them, the one place that does.
//
// Order: nothing that makes a thread comes before the keeper's namespaces are entered (setns of a
// user namespace needs a process of one thread). SIGTERM and SIGINT end the daemon; containers go
// on without it. SIGHUP reads daemon.json again: the log level takes effect at once, as at dockerd
// the rest waits for the next start.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>

#include <boost/asio/signal_set.hpp>
#include <malloc.h>

#include "engine/base/file.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "engine/base/private_dir.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/text.hpp"
#include "engine/engine.hpp"
#include "engine/face/system.hpp"
#include "engine/rootless/keeper.hpp"
#include "shim/api/api.hpp"
#include "shim/commands.hpp"
#include "shim/config.hpp"
#include "shim/directives.hpp"
#include "shim/http/server.hpp"
#include "shim/set_up.hpp"

namespace coracle {
namespace {

constexpr std::size_t kWorkers = 6;
constexpr auto kGrace = std::chrono::seconds(5);

// A small heap that goes back to the system: the daemon idles most of its life.
void set_up_memory() {
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_MMAP_THRESHOLD, 128 * 1024);
  ::mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

void raise_descriptor_limit() {
  constexpr rlim_t kEnough = 65536;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted =
      limit.rlim_max == RLIM_INFINITY ? kEnough : std::min(limit.rlim_max, kEnough);
  if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted) {
    limit.rlim_cur = wanted;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

// The sockets stay bound until the end; their files go with them.
struct Listeners {
  std::vector<UniqueFd> sockets;
  std::vector<std::string> paths;
};
Result<Listeners> open_sockets(const shim::DaemonConfig& config) {
  Listeners out;
  for (const auto& path : config.hosts) {
    if (auto folder = take_trusted_dir(parent_path(path)); !folder)
      return std::unexpected(folder.error().within("listen on {}", path));
    auto socket = listen_unix(path, SOCK_STREAM);
    if (!socket && socket.error().code == Errc::conflict)
      return std::unexpected(socket.error().within(
          "a daemon answers on {} already: stop it, or give another --host", path));
    if (!socket) return std::unexpected(socket.error());
    out.sockets.push_back(*std::move(socket));
    out.paths.push_back(path);
  }
  return out;
}

Result<> write_pidfile(const std::string& path) {
  if (path.empty()) return {};
  if (const auto text = read_file(path, 64)) {
    const auto pid = static_cast<pid_t>(std::strtol(text->c_str(), nullptr, 10));
    if (pid > 0 && pid != ::getpid() && Pidfd::open(pid))
      return fail(Errc::conflict,
                  "pidfile {}: process {} is still running: remove the file if it is "
                  "no coracled",
                  path, pid);
  }
  return write_file_atomic(path, fmt::format("{}", ::getpid()), 0644, Durability::unsynced);
}

struct Daemon {
  asio::io_context io{1};
  Workers workers{io, kWorkers};
  int exit_code = 1;
};

// A file that is wrong changes nothing.
void reload(Engine& engine, const std::vector<std::string>& args) {
  const auto loaded = shim::load_config(args, shim::current_surroundings());
  if (!loaded) {
    log::error("settings not read again reason={}", loaded.error().message);
    return;
  }
  const auto& config = loaded->config;
  log::set_up("coracled", log::level_from_name(config.debug ? "debug" : config.log_level));
  log::info("settings read again log_level={}", config.log_level);
  engine.system().reloaded(
      {{"debug", config.debug ? "true" : "false"}, {"log-level", config.log_level}});
}

Coro<void> serve(Daemon& daemon, Engine& engine, const shim::DaemonConfig& config,
                 Listeners listeners, const std::vector<std::string>& args) {
  api::Api api{daemon.io, engine, config.debug};
  http::Router router;
  api::add_all_routes(router, api);
  http::Server server(daemon.io, router);
  for (auto& socket : listeners.sockets) server.listen(std::move(socket));
  log::info("ready version={} sockets={} data_root={}", CORACLE_VERSION, config.hosts.size(),
            config.data_root);

  asio::signal_set signals(daemon.io, SIGTERM, SIGINT, SIGHUP);
  int number = SIGHUP;
  while (number == SIGHUP) {
    const auto [ec, heard] = co_await signals.async_wait(kToken);
    number = ec ? SIGTERM : heard;
    if (number == SIGHUP) reload(engine, args);
  }
  log::info("ends signal={}", number);
  for (const auto& path : listeners.paths) ::unlink(path.c_str());
  co_await server.shut_down(kGrace);
}

Coro<void> run(Daemon& daemon, EngineConfig engine_config_value, shim::DaemonConfig config,
               Listeners listeners, std::vector<std::string> args) {
  auto engine = co_await Engine::open(daemon.io, daemon.workers, std::move(engine_config_value));
  if (!engine) {
    log::error("{}", engine.error().message);
    co_return;
  }
  co_await serve(daemon, **engine, config, std::move(listeners), args);
  co_await (*engine)->close();
  if (!config.pidfile.empty()) ::unlink(config.pidfile.c_str());
  daemon.exit_code = 0;
}

Result<int> start(const shim::DaemonConfig& config, const std::vector<std::string>& args) {
  TRY(const auto data_lock, lock_root(config.data_root, "data-root"));
  TRY(const auto exec_lock, lock_root(config.exec_root, "exec-root"));
  CHECK(write_pidfile(config.pidfile));
  set_proxies(config.proxies);
  for (const auto& warning : config.warnings) log::warn("{}", warning);
  for (const auto& note : config.notes) log::info("{}", note);
  TRY(auto entered, rootless::enter_keeper(config.exec_root));
  for (const auto& warning : entered.warnings) log::warn("{}", warning);
  TRY(auto listeners, open_sockets(config));
  UniqueFd guests = std::move(entered.guest_listener);
  auto guest_socket = std::move(entered.guest_socket);
  auto for_engine = engine_config(config, std::move(entered));
  if (guests) {
    for_engine.guest_socket_path = std::move(guest_socket);
    listeners.sockets.push_back(std::move(guests));  // its file is the keeper's: it stays
  }

  Daemon daemon;
  Scope scope(daemon.io);
  scope.start("daemon", run(daemon, std::move(for_engine), config, std::move(listeners), args));
  // A coroutine's exception ends that coroutine. One that leaves a plain handler of the loop is as
  // much a defect (or bad_alloc), and ends nothing else either.
  for (;;) {
    try {
      daemon.io.run();
      return daemon.exit_code;
    } catch (const std::exception& e) {
      log::error("a handler ended by an exception reason={}", e.what());
    }
  }
}

int run_main(const std::vector<std::string>& args) {
  ignore_sigpipe();
  set_up_memory();
  if (!args.empty() && args[0] == "check") return run_check({args.begin() + 1, args.end()});
  if (!args.empty() && args[0] == "reset") return run_reset({args.begin() + 1, args.end()});
  const auto loaded = shim::load_config(args, shim::current_surroundings());
  if (!loaded) {
    std::fprintf(stderr, "coracled: %s\n", loaded.error().message.c_str());
    return 1;
  }
  if (loaded->what == shim::Loaded::What::show_version) {
    std::printf("%s version %s\n", ::program_invocation_short_name, CORACLE_VERSION);
    return 0;
  }
  if (loaded->what == shim::Loaded::What::show_help) {
    std::fputs(shim::help_text().c_str(), stdout);
    return 0;
  }
  if (::geteuid() == 0) {
    std::fputs(
        "coracled: started as root: coracle runs without root; start it as the user whose "
        "containers it is to run\n",
        stderr);
    return 1;
  }
  ::umask(077);
  log::set_up("coracled", log::level_from_name(loaded->config.log_level));
  raise_descriptor_limit();
  const auto code = start(loaded->config, args);
  if (!code) {
    log::error("{}", code.error().message);
    return 1;
  }
  return *code;
}

}  // namespace
}  // namespace coracle

int main(int argc, char** argv) {
  try {
    return coracle::run_main({argv + std::min(argc, 1), argv + argc});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "coracled: %s\n", e.what());
    return 1;
  }
}
