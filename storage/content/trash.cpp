#include "storage/content/trash.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

#include "engine/base/file.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "engine/base/room.hpp"
#include "engine/base/tree/trash_dir.hpp"

namespace coracle::storage {

// Lives as long as the last coroutine that looks at it.
struct Trash::Shared {
  explicit Shared(asio::io_context& io) : done(io) {}
  bool running = false;  // a run is going on
  bool again = false;    // something came meanwhile
  std::atomic<bool> closing = false;
  Signal done;
};

Trash::Trash(asio::io_context& io, Workers& workers, std::string dir)
    : workers_(workers), dir_(std::move(dir)), shared_(std::make_shared<Shared>(io)), scope_(io) {}

Result<> Trash::take(const std::string& path) {
  const std::string to = join_path(dir_, random_id().substr(0, 16));
  if (::rename(path.c_str(), to.c_str()) == 0) return {};
  // The trash itself may be missing, or another has made it just now.
  if (errno == ENOENT) {
    CHECK(make_dirs(dir_));
    if (::rename(path.c_str(), to.c_str()) == 0) return {};
  }
  if (errno == ENOENT) return {};
  // A directory can only be moved by someone who may write it (its ".." changes).
  if (errno == EACCES && ::chmod(path.c_str(), 0700) == 0 &&
      ::rename(path.c_str(), to.c_str()) == 0) {
    return {};
  }
  return sys_error("move {} into the trash", path);
}

void Trash::empty() {
  if (shared_->closing) return;
  if (shared_->running) {
    shared_->again = true;
    return;
  }
  shared_->running = true;
  scope_.start("empty the trash", run());
}

Coro<void> Trash::run() {
  const auto shared = shared_;
  do {
    shared->again = false;
    auto job = [dir = dir_, shared]() -> Result<> {
      empty_trash_dir(dir, &shared->closing);
      return {};
    };
    const auto done = co_await workers_.run(std::move(job));
    if (!done) log::warn("the trash is not empty reason={}", done.error().message);
  } while (shared->again && !shared->closing);
  shared->running = false;
  shared->done.notify_all();
}

Coro<bool> Trash::emptied() {
  const auto shared = shared_;
  if (!shared->running) co_return false;
  while (shared->running && !shared->closing) {
    const bool told = co_await shared->done.wait();
    if (!told) break;  // whoever asked has gone
  }
  co_return true;
}

Coro<void> Trash::make_room() {
  empty();
  if (is_nearly_full(dir_)) (void)co_await emptied();
}

Coro<void> Trash::close() {
  shared_->closing = true;
  shared_->done.notify_all();
  co_await scope_.close();
}

}  // namespace coracle::storage
