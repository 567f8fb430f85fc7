// coracled: builds the objects and wires them, the one place that does.
//
// Order: nothing that makes a thread comes before the keeper's namespaces are entered (setns of a
// user namespace needs a process of one thread). SIGTERM and SIGINT end the daemon; containers go
// on without it. SIGHUP reads daemon.json again: the log level takes effect at once, as at dockerd
// the rest waits for the next start.
#include <fcntl.h>
#include <sys/file.h>
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
#include "engine/check.hpp"
#include "engine/engine.hpp"
#include "engine/face/system.hpp"
#include "engine/rootless/keeper.hpp"
#include "shim/api/api.hpp"
#include "shim/config.hpp"
#include "shim/directives.hpp"
#include "shim/http/server.hpp"

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

// One daemon a root: the lock lives as long as its descriptor, and the file tells whose it is.
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

// What is given goes before the environment's own, under both names: programs differ in which they
// read. Before there is a second thread.
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

constexpr const char* kCheckHelp =
    "Usage: coracle check [--repair] [--deep] [OPTIONS of coracled]\n\n"
    "Looks through the data root for what is damaged or missing; one line a finding.\n\n"
    "      --repair   move damaged objects to lost+found; no daemon may run\n"
    "      --deep     read and hash every blob\n\n"
    "Exit status: 0 all is well, 1 something is left to mend, 2 it cannot be looked at.\n";

// `coracle check`: the flags of coracled say where everything lies.
int run_check(std::vector<std::string> args) {
  CheckRequest request;
  std::erase_if(args, [&](const std::string& arg) {
    if (arg == "--repair") request.repair = true;
    if (arg == "--deep") request.deep = true;
    return arg == "--repair" || arg == "--deep";
  });
  const auto loaded = shim::load_config(args, shim::current_surroundings());
  if (!loaded) {
    std::fprintf(stderr, "coracle: %s\n", loaded.error().message.c_str());
    return 2;
  }
  if (loaded->what == shim::Loaded::What::validated) {
    std::puts("configuration OK");
    return 0;
  }
  if (loaded->what == shim::Loaded::What::show_help) {
    std::fputs(kCheckHelp, stdout);
    return 0;
  }
  if (::geteuid() == 0) {
    std::fputs("coracle: check runs as the user whose containers they are, not as root\n", stderr);
    return 2;
  }
  request.data_root = loaded->config.data_root;
  request.exec_root = loaded->config.exec_root;
  const auto report = check(request);
  if (!report) {
    std::fprintf(stderr, "coracle: %s\n", report.error().message.c_str());
    return 2;
  }
  std::fputs(to_text(*report).c_str(), stdout);
  return report->open() == 0 ? 0 : 1;
}

int run_main(const std::vector<std::string>& args) {
  ignore_sigpipe();
  set_up_memory();
  if (!args.empty() && args[0] == "check") return run_check({args.begin() + 1, args.end()});
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
