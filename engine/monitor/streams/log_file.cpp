#include "engine/monitor/streams/log_file.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include <zlib.h>

#include "engine/base/path.hpp"

namespace coracle::monitor {
namespace {

constexpr mode_t kLogMode = 0640;

bool is_there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// Compresses standard input to standard output. In a child, with nothing else open.
bool compress() {
  std::array<unsigned char, 32768> in{}, out{};
  z_stream z{};
  constexpr int kGzip = 16 + MAX_WBITS;
  if (::deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return false;
  for (bool last = false; !last;) {
    const ssize_t n = ::read(0, in.data(), in.size());
    if (n < 0) return false;
    last = n == 0;
    z.next_in = in.data();
    z.avail_in = static_cast<unsigned>(n);
    do {
      z.next_out = out.data();
      z.avail_out = out.size();
      ::deflate(&z, last ? Z_FINISH : Z_NO_FLUSH);
      const std::size_t size = out.size() - z.avail_out;
      for (std::size_t at = 0; at < size;) {
        const ssize_t written = ::write(1, out.data() + at, size - at);
        if (written <= 0) return false;
        at += static_cast<std::size_t>(written);
      }
    } while (z.avail_out == 0);
  }
  return ::fdatasync(1) == 0;
}

[[noreturn]] void run_compressor(const UniqueFd& from, const UniqueFd& to) noexcept {
  if (::dup2(from.get(), 0) != 0 || ::dup2(to.get(), 1) != 1) ::_exit(1);
  ::close_range(3, ~0U, 0);  // clients' connections among them
  (void)!::nice(10);
  ::_exit(compress() ? 0 : 1);
}

}  // namespace

std::string LogFile::name(int number, bool compressed) const {
  if (number == 0) return path_;
  return fmt::format("{}.{}{}", path_, number, compressed ? ".gz" : "");
}

int LogFile::last_number() const {
  int n = 0;
  while (is_there(name(n + 1)) || is_there(name(n + 1, true))) ++n;
  return n;
}

bool LogFile::is_young(int number) const {
  struct stat st {};
  if (::stat(name(number).c_str(), &st) != 0 && ::stat(name(number, true).c_str(), &st) != 0)
    return false;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const auto age_ms =
      (now.tv_sec - st.st_mtim.tv_sec) * 1000 + (now.tv_nsec - st.st_mtim.tv_nsec) / 1'000'000;
  return age_ms < kGrace_ms;
}

bool LogFile::is_followed() const {
  const auto dir = parent_path(path_);
  const UniqueFd fd(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

bool LogFile::is_held(int number) const {
  const UniqueFd fd(::open(name(number).c_str(), O_RDONLY | O_CLOEXEC));
  return fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

bool LogFile::must_stay(int number, bool followed) const {
  const int beyond = number - limits_.max_file + 1;
  if (!followed || beyond > kMaxGrace) return false;
  return is_young(number) || (beyond * limits_.max_size <= kMaxHeld && is_held(number));
}

Result<LogFile> LogFile::open(std::string path, Limits limits) {
  LogFile log;
  log.path_ = std::move(path);
  log.limits_ = limits;
  log.limits_.max_file = std::max(limits.max_file, 1);
  CHECK(log.reopen());
  if (limits.max_size > 0) log.clean_up();
  return log;
}

Result<> LogFile::reopen() {
  file_.reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, kLogMode));
  if (!file_) return sys_error("open the log {}", path_);
  struct stat st {};
  if (::fstat(file_.get(), &st) != 0) return sys_error("look at the log {}", path_);
  size_ = st.st_size;
  return {};
}

Result<> LogFile::append(std::string_view lines) {
  if (!file_) CHECK(reopen());
  if (limits_.max_size > 0 && size_ >= limits_.max_size) CHECK(rotate());
  if (const auto written = write_all(file_, lines); !written) {
    // Half a line would spoil the one behind it.
    if (::ftruncate(file_.get(), size_) != 0) file_.reset();
    return written;
  }
  size_ += static_cast<std::int64_t>(lines.size());
  return {};
}

// --- rotation ---

void LogFile::remove(int number) {
  if (compressor_ != 0 && compressing_ == number) {
    ::kill(compressor_, SIGKILL);  // our child, not waited for yet
    compressing_ = 0;
  }
  ::unlink(name(number).c_str());
  ::unlink(name(number, true).c_str());
}

Result<> LogFile::rotate() {
  // What was number `stays` is one too many after the rotation.
  const int stays = limits_.max_file - 1;
  int last = last_number();
  const bool followed = last >= stays && is_followed();
  for (; last >= std::max(stays, 1); --last) {
    if (must_stay(last, followed)) break;
    remove(last);
  }
  for (int n = last; n >= 1; --n) {
    for (const bool compressed : {false, true}) {
      if (::rename(name(n, compressed).c_str(), name(n + 1, compressed).c_str()) != 0 &&
          errno != ENOENT)
        return sys_error("rotate the log {}", name(n, compressed));
    }
    if (compressing_ == n) compressing_ = n + 1;
  }
  const int moved =
      stays > 0 || followed ? ::rename(path_.c_str(), name(1).c_str()) : ::unlink(path_.c_str());
  if (moved != 0 && errno != ENOENT) return sys_error("rotate the log {}", path_);
  CHECK(reopen());
  compress_next();
  return {};
}

void LogFile::tidy() {
  if (limits_.max_size <= 0) return;
  int last = last_number();
  const bool followed = last >= limits_.max_file && is_followed();
  for (; last >= limits_.max_file && !must_stay(last, followed); --last) remove(last);
  compress_next();
}

// Of a monitor that was killed, or whose container ended, in the middle.
void LogFile::clean_up() {
  ::unlink(unfinished().c_str());
  const int last = last_number();
  for (int n = 1; n <= last; ++n) {
    if (is_there(name(n, true))) ::unlink(name(n).c_str());
  }
  tidy();
}

// --- compression ---

void LogFile::compress_next() {
  if (!limits_.compress || compressor_ != 0) return;
  int oldest = 0;
  for (int n = 1; n < limits_.max_file; ++n) {
    if (is_there(name(n))) oldest = n;
  }
  if (oldest == 0 || is_held(oldest)) return;  // the packed one would be another file
  const UniqueFd from(::open(name(oldest).c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd to(
      ::open(unfinished().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kLogMode));
  if (!from || !to) return;  // it stays as it is, until the next rotation
  const pid_t pid = ::fork();
  if (pid == 0) run_compressor(from, to);
  if (pid < 0) return;
  compressor_ = pid;
  compressing_ = oldest;
}

bool LogFile::child_ended(pid_t pid, int code) {
  if (pid == 0 || pid != compressor_) return false;
  compressor_ = 0;
  const int number = std::exchange(compressing_, 0);
  if (code != 0 || number == 0) {
    ::unlink(unfinished().c_str());
    if (number == 0) compress_next();
    return true;
  }
  struct stat st {};
  if (::stat(name(number).c_str(), &st) == 0) {
    const std::array<timespec, 2> times{st.st_atim, st.st_mtim};
    ::utimensat(AT_FDCWD, unfinished().c_str(), times.data(), 0);
  }
  if (::rename(unfinished().c_str(), name(number, true).c_str()) == 0)
    ::unlink(name(number).c_str());
  compress_next();
  return true;
}

}  // namespace coracle::monitor
