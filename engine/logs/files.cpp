#include "engine/logs/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <utility>

#include <zlib.h>

#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"

namespace coracle {
namespace {

constexpr std::size_t kBlock = 256 * 1024;
constexpr std::size_t kTailBlock = 64 * 1024;
// log_writer cuts lines at 16 KiB, up to 3 bytes earlier inside a character. What lacks its newline
// and is shorter was the end of a stream: nothing belongs behind it.
constexpr std::size_t kShortestPart = 16 * 1024 - 4;
constexpr std::size_t kLongestLine = 1024 * 1024;  // then it is passed on in pieces

// {"k":"v"} as a list of "k=v".
std::vector<std::string> attributes_of(const json::Value& value) {
  std::vector<std::string> out;
  if (!value.is_object()) return out;
  for (const auto& kv : value.get_object()) {
    std::string text(kv.key());
    text += '=';
    if (kv.value().is_string()) text += std::string_view(kv.value().get_string());
    out.push_back(std::move(text));
  }
  std::sort(out.begin(), out.end());
  return out;
}

Result<LogEntry> parse_any(std::string_view line) {
  TRY(const auto value, json::parse(line));
  if (!value.is_object()) return fail(Errc::invalid_argument, "a log line is no object");
  const auto& o = value.get_object();
  const auto text = [&](const char* key) -> std::string {
    const auto* found = o.if_contains(key);
    return found != nullptr && found->is_string() ? std::string(found->get_string()) : "";
  };
  LogEntry entry;
  entry.text = text("log");
  entry.is_err = text("stream") == "stderr";
  TRY(entry.time, from_rfc3339(text("time")));
  if (const auto* attrs = o.if_contains("attrs")) entry.attrs = attributes_of(*attrs);
  return entry;
}

bool eat(std::string_view& rest, std::string_view what) {
  if (!rest.starts_with(what)) return false;
  rest.remove_prefix(what.size());
  return true;
}

// A JSON string without \u escapes up to its quote. False: something else; parse_any takes it.
bool eat_simple_string(std::string_view& rest, std::string& into) {
  for (;;) {
    const auto stop = rest.find_first_of("\"\\");
    if (stop == std::string_view::npos) return false;
    into.append(rest.data(), stop);
    rest.remove_prefix(stop + 1);
    if (rest.data()[-1] == '"') return true;
    if (rest.empty()) return false;
    switch (rest.front()) {
      case 'n': into += '\n'; break;
      case 'r': into += '\r'; break;
      case 't': into += '\t'; break;
      case '"': into += '"'; break;
      case '\\': into += '\\'; break;
      case '/': into += '/'; break;
      case 'u': {
        // Control characters and <>&: the escapes that log_writer writes most.
        if (!rest.starts_with("u00") || rest.size() < 5) return false;
        const auto digit = [](char c) {
          return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        };
        const int code = digit(rest[3]) * 16 + digit(rest[4]);
        if (digit(rest[3]) < 0 || digit(rest[4]) < 0 || code >= 0x80) return false;
        into += static_cast<char>(code);
        rest.remove_prefix(4);
        break;
      }
      default: return false;
    }
    rest.remove_prefix(1);
  }
}

// Unpacks a .gz from its beginning, until `take` wants no more. What is cut is given as far as it
// goes.
Result<> inflate(const UniqueFd& fd, const std::function<bool(std::string_view)>& take) {
  constexpr int kGzip = 16 + MAX_WBITS;
  z_stream z{};
  if (::inflateInit2(&z, kGzip) != Z_OK) return fail(Errc::internal, "unpack a log: out of memory");
  const std::unique_ptr<z_stream, decltype(&::inflateEnd)> end(&z, &::inflateEnd);
  std::string in(64 * 1024, '\0'), out(256 * 1024, '\0');
  for (off_t at = 0;;) {
    const ssize_t n = ::pread(fd.get(), in.data(), in.size(), at);
    if (n < 0) return sys_error("read a compressed log");
    if (n == 0) return {};
    at += n;
    z.next_in = reinterpret_cast<Bytef*>(in.data());
    z.avail_in = static_cast<unsigned>(n);
    do {
      z.next_out = reinterpret_cast<Bytef*>(out.data());
      z.avail_out = static_cast<unsigned>(out.size());
      const int state = ::inflate(&z, Z_NO_FLUSH);
      if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
        return fail(Errc::internal, "unpack a log: it is damaged");
      if (!take({out.data(), out.size() - z.avail_out}) || state == Z_STREAM_END) return {};
    } while (z.avail_out == 0);
  }
}

}  // namespace

Result<LogEntry> parse_log_line(std::string_view line) {
  // The form that log_writer writes, without attributes; any other goes through the JSON parser.
  LogEntry entry;
  std::string_view rest = line;
  std::string time;
  if (eat(rest, R"({"log":")") && eat_simple_string(rest, entry.text) &&
      (eat(rest, R"(,"stream":"stdout","time":")") ||
       (entry.is_err = eat(rest, R"(,"stream":"stderr","time":")"))) &&
      eat_simple_string(rest, time) && rest == "}") {
    TRY(entry.time, from_rfc3339(time));
    return entry;
  }
  return parse_any(line);
}

// --- the files ---

Result<std::optional<LogFiles::File>> LogFiles::open_file(const std::string& path) {
  File file;
  file.fd.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.fd && errno == ENOENT) {
    file.packed.reset(::open((path + ".gz").c_str(), O_RDONLY | O_CLOEXEC));
    file.compressed = true;
  }
  const auto& opened = file.compressed ? file.packed : file.fd;
  if (!opened && errno == ENOENT) return std::nullopt;
  if (!opened) return sys_error("open the log {}", path);
  struct stat st {};
  if (::fstat(opened.get(), &st) != 0) return sys_error("look at the log {}", path);
  file.device = st.st_dev;
  file.inode = st.st_ino;
  return file;
}

bool LogFiles::same(const File& a, const File& b) {
  if (a.device == b.device && a.inode == b.inode) return true;
  if (!a.compressed && !b.compressed) return false;
  const auto first = first_time(a);
  return first.ns != 0 && first == first_time(b);
}

// Of its first line; 0 when it has none yet.
Time LogFiles::first_time(const File& file) {
  std::string line;
  const auto take = [&](std::string_view bytes) {
    line += bytes;
    return line.find('\n') == std::string::npos && line.size() < kLongestLine;
  };
  if (file.fd) {
    std::string block(16 * 1024, '\0');
    for (ssize_t n = 1; n > 0;) {
      n = ::pread(file.fd.get(), block.data(), block.size(), static_cast<off_t>(line.size()));
      if (n <= 0 || !take({block.data(), static_cast<std::size_t>(n)})) break;
    }
  } else {
    (void)inflate(file.packed, take);
  }
  const auto entry = parse_log_line(std::string_view(line).substr(0, line.find('\n')));
  return entry ? entry->time : Time{};
}

// Into a file without a name beside it, or in memory where there is no place for it.
Result<> LogFiles::unpack(File& file) const {
  if (file.fd) return {};
  const auto dir = parent_path(path_);
  UniqueFd out(::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!out) out.reset(::memfd_create("log", MFD_CLOEXEC));
  if (!out) return sys_error("unpack the log {}", path_);
  Result<> written;
  CHECK(inflate(file.packed, [&](std::string_view bytes) {
    written = write_all(out, bytes);
    return written.has_value();
  }));
  CHECK(written);
  file.fd = std::move(out);
  file.packed.reset();
  return {};
}

Result<> LogFiles::find_newer() {
  std::deque<File> newer;
  bool joined = chain_.empty();
  // In the middle of a rotation one of them is not there.
  for (int n = 0, missing = 0; missing < 2; ++n) {
    TRY(auto file, open_file(n == 0 ? path_ : fmt::format("{}.{}", path_, n)));
    missing = file ? 0 : missing + 1;
    if (!file) continue;
    joined = joined || same(*file, chain_.back());
    if (joined && !chain_.empty()) break;
    const bool met = std::any_of(newer.begin(), newer.end(),
                                 [&](const File& other) { return same(other, *file); });
    if (!met) newer.push_front(*std::move(file));
  }
  if (!joined && options_.follow && !newer.empty())
    log::warn("log follower fell behind rotation, lines may be missing path={}", path_);
  for (auto& file : newer) chain_.push_back(std::move(file));
  if (options_.follow) hold_newest();
  return {};
}

void LogFiles::hold_newest() {
  const int newest = chain_.empty() || !chain_.back().fd ? -1 : chain_.back().fd.get();
  if (newest == held_) return;
  const int before = std::exchange(held_, newest);
  // The monitor tries the exclusive one for microseconds.
  for (int i = 0; newest >= 0 && i < 20 && ::flock(newest, LOCK_SH | LOCK_NB) != 0; ++i)
    ::usleep(50);
  const auto holds = [before](const File& file) { return file.fd.get() == before; };
  if (before >= 0 && std::any_of(chain_.begin(), chain_.end(), holds)) ::flock(before, LOCK_UN);
}

Result<> LogFiles::seek_tail() {
  std::uint64_t wanted = *options_.tail;
  for (std::size_t i = chain_.size(); i-- > 0;) {
    CHECK(unpack(chain_[i]));
    TRY(const auto begin, seek_tail_in(chain_[i], wanted));
    if (!begin) continue;
    chain_[i].at = *begin;
    chain_.erase(chain_.begin(), chain_.begin() + static_cast<std::ptrdiff_t>(i));
    return {};
  }
  return {};
}

// Where the last `wanted` lines of the file begin; nullopt (and `wanted` is what is still to be
// found) when it has fewer. An entry ends a line when its text has its newline, or is no part of a
// long line.
Result<std::optional<off_t>> LogFiles::seek_tail_in(const File& file, std::uint64_t& wanted) const {
  off_t end = ::lseek(file.fd.get(), 0, SEEK_END);
  if (end < 0) return sys_error("seek in the log {}", path_);
  if (wanted == 0) return end;
  std::string block;  // from `end` on: the beginning of what was read last
  std::uint64_t found = 0;
  off_t first = end;  // where the entries counted last begin
  while (end > 0) {
    const auto size = std::min<std::size_t>(kTailBlock, static_cast<std::size_t>(end));
    end -= static_cast<off_t>(size);
    std::string more(size, '\0');
    if (::pread(file.fd.get(), more.data(), size, end) != static_cast<ssize_t>(size))
      return sys_error("read the log {}", path_);
    block.insert(0, more);
    for (;;) {
      // The last whole line of the block: between two newlines, or from the file's beginning.
      if (block.empty()) break;
      const auto newline =
          block.size() < 2 ? std::string::npos : block.rfind('\n', block.size() - 2);
      if (newline == std::string::npos && end > 0) break;
      const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
      std::string_view line(block.data() + begin, block.size() - begin);
      if (line.ends_with('\n')) line.remove_suffix(1);
      const auto entry = parse_log_line(line);
      const bool ends = entry && wanted_stream(entry->is_err) &&
                        (entry->text.ends_with('\n') || entry->text.size() < kShortestPart);
      if (ends && found == wanted) return first;
      if (ends) ++found;
      first = end + static_cast<off_t>(begin);
      block.resize(begin);
    }
  }
  if (found == wanted) return 0;
  wanted -= found;
  return std::nullopt;
}

// --- reading ---

Result<std::vector<LogEntry>> LogFiles::read() {
  std::vector<LogEntry> entries;
  if (!opened_) {
    CHECK(find_newer());
    opened_ = true;
    if (options_.tail) CHECK(seek_tail());
  }
  while (entries.empty() && !past_until_) {
    if (chain_.empty()) CHECK(find_newer());
    TRY(const bool any, read_block(entries));
    if (any) continue;
    if (chain_.size() <= 1) CHECK(find_newer());
    if (chain_.size() <= 1) break;
    // There is a newer one, so that nothing is written to this one any more; what was, between the
    // read above and its renaming, is read now.
    TRY(const bool rest, read_block(entries));
    if (rest) continue;
    chain_.pop_front();
    carry_.clear();
  }
  return entries;
}

// Reads once from the front file. False: there is nothing just now.
Result<bool> LogFiles::read_block(std::vector<LogEntry>& into) {
  if (chain_.empty()) return false;
  File& file = chain_.front();
  CHECK(unpack(file));
  const std::size_t before = carry_.size();
  carry_.resize(before + kBlock);
  const ssize_t n = ::pread(file.fd.get(), carry_.data() + before, kBlock, file.at);
  const int reason = errno;
  carry_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  if (n < 0) return sys_error_of(reason, "read the log {}", path_);
  if (n == 0) return false;
  file.at += n;
  std::string_view rest = carry_;
  for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    take_line(rest.substr(0, end), into);
    rest.remove_prefix(end + 1);
  }
  carry_.erase(0, carry_.size() - rest.size());
  return true;
}

void LogFiles::take_line(std::string_view line, std::vector<LogEntry>& into) {
  auto entry = parse_log_line(line);
  if (!entry || past_until_) return;
  if (options_.until.ns != 0 && entry->time > options_.until) {
    past_until_ = true;
    return;
  }
  if (entry->time < options_.since || !wanted_stream(entry->is_err)) return;
  join(*std::move(entry), into);
}

void LogFiles::join(LogEntry entry, std::vector<LogEntry>& into) {
  Unfinished& unfinished = unfinished_.at(entry.is_err ? 1 : 0);
  const bool part = !entry.text.ends_with('\n') && entry.text.size() >= kShortestPart;
  if (!unfinished.any) {
    unfinished.entry = std::move(entry);
  } else {
    unfinished.entry.text += entry.text;  // the time is the line's first part's
  }
  unfinished.any = part && unfinished.entry.text.size() < kLongestLine;
  if (!unfinished.any) into.push_back(std::move(unfinished.entry));
}

std::vector<LogEntry> LogFiles::take_unfinished() {
  std::vector<LogEntry> entries;
  for (auto& unfinished : unfinished_) {
    if (unfinished.any) entries.push_back(std::move(unfinished.entry));
    unfinished = {};
  }
  return entries;
}

}  // namespace coracle
