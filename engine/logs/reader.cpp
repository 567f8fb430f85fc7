#include "engine/logs/reader.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "engine/base/path.hpp"
#include "engine/logs/files.hpp"

namespace coracle {
namespace {

constexpr std::chrono::milliseconds kLookAgain{250};  // without inotify
constexpr std::chrono::milliseconds kLongest{std::chrono::hours(24)};
// A busy container writes thousands of times a second: its followers read at most this often.
constexpr std::chrono::milliseconds kBreath{5};

// The log's directory with a shared flock(2). The monitor tries the exclusive one for microseconds.
UniqueFd hold_shared(const std::string& directory) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; fd && i < 20; ++i) {
    if (::flock(fd.get(), LOCK_SH | LOCK_NB) == 0) return fd;
    ::usleep(50);
  }
  return {};
}

}  // namespace

// --- LogWatch ---

std::shared_ptr<LogWatch::Directory> LogWatch::watch(const std::string& directory) {
  forget_unused();
  if (const auto found = by_path_.find(directory); found != by_path_.end()) {
    if (auto known = directories_[found->second].lock()) return known;
  }
  auto made = std::make_shared<Directory>(io_);
  if (!inotify_) {
    inotify_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify_) return made;
    scope_.start("log watch", listen());
  }
  const int wd = ::inotify_add_watch(inotify_.get(), directory.c_str(),
                                     IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF);
  if (wd < 0) return made;
  made->watched = true;
  directories_[wd] = made;
  by_path_[directory] = wd;
  return made;
}

void LogWatch::forget_unused() {
  std::erase_if(by_path_, [&](const auto& entry) {
    const int wd = entry.second;
    if (!directories_[wd].expired()) return false;
    ::inotify_rm_watch(inotify_.get(), wd);
    directories_.erase(wd);
    return true;
  });
}

void LogWatch::tell(std::string_view events) {
  for (std::size_t at = 0; at + sizeof(inotify_event) <= events.size();) {
    inotify_event event{};
    std::memcpy(&event, events.data() + at, sizeof event);
    at += sizeof event + event.len;
    const auto found = directories_.find(event.wd);
    if (found == directories_.end()) continue;
    if (const auto directory = found->second.lock()) {
      ++directory->changes;
      directory->changed.notify_all();
    }
  }
}

Coro<void> LogWatch::listen() {
  std::array<char, 8192> buffer{};
  for (;;) {
    const auto readable = co_await wait_readable(io_, inotify_);
    if (!readable) co_return;
    const auto n = read_some(inotify_, buffer);
    if (!n) continue;
    tell({buffer.data(), *n});
    forget_unused();
    co_await sleep_for(io_, kBreath);
  }
}

// --- LogReader ---

LogReader::LogReader(asio::io_context& io, Workers& workers, LogWatch& watch, std::string path,
                     LogOptions options)
    : io_(io),
      workers_(workers),
      follow_(options.follow),
      until_(options.until),
      directory_(follow_ ? watch.watch(parent_path(path)) : nullptr) {
  if (follow_) following_ = hold_shared(parent_path(path));
  source_ = std::make_shared<LogFiles>(std::move(path), std::move(options));
}

LogReader::LogReader(asio::io_context& io, Workers& workers, std::shared_ptr<LogSource> source,
                     const LogOptions& options)
    : io_(io),
      workers_(workers),
      source_(std::move(source)),
      follow_(options.follow),
      until_(options.until),
      directory_(follow_ ? std::make_shared<LogWatch::Directory>(io) : nullptr) {}

Task<std::vector<LogEntry>> LogReader::next() {
  std::vector<LogEntry> none;
  bool delayed = false;
  while (!ended_) {
    // Both are asked before the files are read: what comes later wakes us, or is read again.
    const std::uint64_t seen = directory_ ? directory_->changes : 0;
    const bool last = !follow_ || finished_;
    auto job = [source = source_] { return source->read(); };
    CO_TRY(auto entries, co_await workers_.run(std::move(job)));
    if (!entries.empty()) co_return entries;
    // What the container said last may still be on its way.
    if (follow_ && last && !delayed && source_->delay().count() > 0) {
      delayed = true;
      co_await sleep_for(io_, source_->delay());
      continue;
    }
    if (last || source_->past_until()) break;
    const bool more = co_await wait_for_change(seen);
    if (!more) break;
  }
  if (ended_) co_return none;
  ended_ = true;
  co_return source_->take_unfinished();
}

// False: `until` has come, or we were cancelled.
Coro<bool> LogReader::wait_for_change(std::uint64_t seen) {
  if (finished_ || directory_->changes != seen) co_return true;
  auto limit = directory_->watched ? kLongest : kLookAgain;
  if (until_.ns != 0) {
    const auto at = now();
    if (until_ <= at) co_return false;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(std::chrono::nanoseconds(until_.ns - at.ns));
    limit = std::min(limit, left);
  }
  co_await directory_->changed.wait_for(limit);
  const auto state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() == asio::cancellation_type::none;
}

void LogReader::finish() {
  finished_ = true;
  if (directory_) directory_->changed.notify_all();
}

}  // namespace coracle
