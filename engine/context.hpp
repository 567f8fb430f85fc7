// What every part of the engine works with. Made by Engine::open, which outlives them all.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "engine/base/async/async.hpp"
#include "engine/base/async/future.hpp"
#include "engine/base/ident.hpp"
#include "engine/container/store.hpp"
#include "engine/container/table.hpp"
#include "engine/events.hpp"
#include "engine/face/config.hpp"
#include "engine/spec/seccomp_profile.hpp"
#include "storage/storage.hpp"

namespace coracle {

// What is asked of this host once.
struct HostFacts {
  std::string id;    // of this engine, kept in data_root/engine-id
  std::string name;  // uname(2)
  std::string kernel, machine;
  std::string operating_system, os_version;
  std::int32_t cpus = 1;
  std::int64_t memory = 0;
  SeccompTarget seccomp;
  std::map<std::string, std::uint64_t> hard_limits;  // "RLIMIT_NOFILE"
  std::string cgroup_version;                        // "1", "2"
  std::uint32_t uids = 1, gids = 1;                  // mapped in our user namespace, from 0 on
};

struct Context {
  Context(asio::io_context& io_, Workers& workers_, EngineConfig config_)
      : io(io_),
        workers(workers_),
        config(std::move(config_)),
        store(config.data_root, config.exec_root),
        scope(io_) {}

  // Runs it in the engine's scope, so that it is carried to its end when the client that asked has
  // gone. So runs what changes a container: it is short, and half of it would leave a state that
  // nobody asked for. What makes something for the client (an archive, an image) does not:
  // docs/decisions/0051-what-ends-with-its-client.md.
  template <class T>
  Task<T> owned(const char* what, Task<T> task) {
    return Future<T>(io, scope, what, std::move(task)).get();
  }

  // The same, and the one who waits does not hear a cancellation either.
  template <class T>
  Task<T> awaited(const char* what, Task<T> task) {
    auto end = owned(what, std::move(task));
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    auto result = co_await std::move(end);
    co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
    co_return result;
  }

  asio::io_context& io;
  Workers& workers;
  EngineConfig config;
  HostFacts host;
  Store store;
  std::unique_ptr<coracle::storage::Storage> storage;
  std::shared_ptr<EventLog> events;
  ContainerTable table;
  std::string monitor_program, init_program;  // "" when it is missing
  bool closing = false;
  Scope scope;  // last: its coroutines use what stands above
};

// An event of a container: its labels, image and name among the attributes.
void announce(EventLog& events, const Container& container, std::string action,
              std::map<std::string, std::string> attributes = {}, Time at = {});
// An event of anything else.
void announce(EventLog& events, std::string type, std::string action, std::string id,
              std::map<std::string, std::string> attributes);

}  // namespace coracle
