#include "storage/trash.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "engine/base/file.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"

namespace coracle::storage {

// Lives as long as the last coroutine that looks at it.
struct Trash::Shared {
  bool running = false;  // a run is going on
  bool again = false;    // something came meanwhile
  bool closing = false;
};

Trash::Trash(asio::io_context& io, Workers& workers, std::string dir)
    : workers_(workers), dir_(std::move(dir)), shared_(std::make_shared<Shared>()), scope_(io) {}

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
    auto list = [dir = dir_]() -> Result<std::vector<std::string>> {
      if (!exists(dir)) return std::vector<std::string>{};
      return list_dir(dir);
    };
    auto names = co_await workers_.run(std::move(list));
    if (!names) log::warn("the trash cannot be read reason={}", names.error().message);
    for (std::size_t i = 0; names && i < names->size() && !shared->closing; ++i) {
      auto remove = [path = join_path(dir_, (*names)[i])] { return remove_tree(path); };
      const auto done = co_await workers_.run(std::move(remove));
      if (!done) log::warn("the trash keeps an entry reason={}", done.error().message);
    }
  } while (shared->again && !shared->closing);
  shared->running = false;
}

Coro<void> Trash::close() {
  shared_->closing = true;
  co_await scope_.close();
}

}  // namespace coracle::storage
