#include "engine/container/monitor_spawner.hpp"

#include <signal.h>
#include <sys/socket.h>

#include <utility>

#include "engine/base/ipc/channel.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "engine/base/process/sealed_program.hpp"
#include "engine/container/monitor_environment.hpp"

namespace coracle {
namespace {

constexpr int kRequestsFd = 3;

}  // namespace

void MonitorSpawner::open(const std::string& program) {
  path_ = program;
  if (auto started = start(); !started)
    log::warn("monitors are started one by one reason={}", started.error().message);
}

Result<> MonitorSpawner::seal() {
  if (sealed_) return {};
  auto sealed = seal_program(path_);
  if (!sealed) return std::unexpected(sealed.error().within("seal coracle-monitor"));
  sealed_ = *std::move(sealed);
  program_ = proc_path(sealed_);
  return {};
}

Result<> MonitorSpawner::start() {
  CHECK(seal());
  reap();
  TRY(auto pair, make_socket_pair(SOCK_SEQPACKET));
  CHECK(set_nonblocking(pair.a, true));
  SpawnOptions options;
  options.program = program_;
  options.argv = {"coracle-monitor", "--spawner", std::to_string(kRequestsFd)};
  options.env = monitor_environment();
  options.inherit_env = false;
  options.new_session = true;
  options.fds = {{.ours = pair.b.get(), .theirs = kRequestsFd}};
  TRY(process_, coracle::spawn(options));
  socket_ = std::move(pair.a);
  return {};
}

// One that cannot be reached has ended, or is of no use.
void MonitorSpawner::reap() {
  socket_.reset();
  if (process_) {
    (void)process_.send_signal(SIGKILL);
    (void)process_.wait();
  }
  process_ = {};
}

Result<std::shared_ptr<MonitorLink>> MonitorSpawner::ask() {
  if (!socket_) return fail(Errc::unavailable, "there is no spawner");
  TRY(auto pair, make_socket_pair(SOCK_SEQPACKET));
  CHECK(set_nonblocking(pair.a, true));
  CHECK(send_message(socket_, "{}", {pair.b.get()}));
  return MonitorLink::adopt(io_, scope_, std::move(pair.a));
}

Result<std::shared_ptr<MonitorLink>> MonitorSpawner::spawn() {
  auto link = ask();
  if (link) return link;
  // EAGAIN: it lives, and has more to do than its socket holds.
  if (link.error().sys != EAGAIN) {
    log::warn("monitors' spawner started anew reason={}", link.error().message);
    if (auto started = start(); !started)
      log::warn("monitors' spawner not started reason={}", started.error().message);
  }
  CHECK(seal());
  return MonitorLink::spawn(io_, scope_, program_);
}

}  // namespace coracle
