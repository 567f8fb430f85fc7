#include "storage/archive/archive.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <cstring>
#include <optional>
#include <utility>

#include <archive.h>
#include <archive_entry.h>

#include "storage/content/byte_source.hpp"

namespace coracle::storage {
namespace {

constexpr std::size_t kBlock = std::size_t{256} << 10;
constexpr off_t kWorthAHole = off_t{1} << 20;

// libarchive turns UTF-8 of pax headers into the locale's encoding, and loses names in "C".
class Utf8Names {
 public:
  Utf8Names() : before_(::uselocale(utf8())) {}
  ~Utf8Names() { ::uselocale(before_); }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  static locale_t utf8() {
    static const locale_t made = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    return made;
  }
  locale_t before_;
};

}  // namespace

bool is_kept_xattr(std::string_view name) {
  if (name == "security.capability") return true;
  return name.starts_with("user.") && !name.starts_with("user.overlay.") &&
         !name.starts_with("user.fuseoverlayfs.") && !name.starts_with("user.containers.");
}

// ---- writing

struct ArchiveWriter::State {
  explicit State(Sink sink) : to(std::move(sink)), handle(archive_write_new()) {}
  ~State() { archive_write_free(handle); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  Sink to;
  archive* handle;
  std::optional<Error> cause;
  std::vector<char> buffer;
  const std::atomic<bool>* stop = &kNeverStopped;

  static la_ssize_t put(archive* a, void* self, const void* bytes, std::size_t size) {
    auto& me = *static_cast<State*>(self);
    if (auto done = me.to({static_cast<const char*>(bytes), size}); !done) {
      me.cause = done.error();
      archive_set_error(a, done.error().sys, "%s", done.error().message.c_str());
      return -1;
    }
    return static_cast<la_ssize_t>(size);
  }

  std::unexpected<Error> wrong() {
    if (cause) return std::unexpected(cause->within("write the archive"));
    const char* text = archive_error_string(handle);
    return fail(Errc::internal, "write the archive: {}", text == nullptr ? "unknown" : text);
  }

  Result<> header(const std::string& path, mode_t type, std::int64_t size) {
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> e(archive_entry_new(),
                                                                          &archive_entry_free);
    archive_entry_set_pathname(e.get(), path.c_str());
    archive_entry_set_filetype(e.get(), type);
    archive_entry_set_perm(e.get(), type == S_IFDIR ? 0755 : 0644);
    archive_entry_set_size(e.get(), size);
    archive_entry_set_mtime(e.get(), 0, 0);
    if (archive_write_header(handle, e.get()) < ARCHIVE_WARN) return wrong();
    return {};
  }

  Result<> write_entry(const ArchiveEntry& from, const UniqueFd* data) {
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> e(archive_entry_new(),
                                                                          &archive_entry_free);
    archive_entry_set_pathname(e.get(), from.path.c_str());
    archive_entry_set_filetype(e.get(), from.type);
    archive_entry_set_perm(e.get(), from.mode);
    archive_entry_set_uid(e.get(), from.uid);
    archive_entry_set_gid(e.get(), from.gid);
    archive_entry_set_mtime(e.get(), from.mtime.tv_sec, 0);
    const bool has_data = from.type == S_IFREG && from.hardlink.empty() && data != nullptr;
    archive_entry_set_size(e.get(), has_data ? from.size : 0);
    if (!from.hardlink.empty()) archive_entry_set_hardlink(e.get(), from.hardlink.c_str());
    if (!from.symlink.empty()) archive_entry_set_symlink(e.get(), from.symlink.c_str());
    if (from.type == S_IFCHR || from.type == S_IFBLK) archive_entry_set_rdev(e.get(), from.device);
    for (const auto& x : from.xattrs)
      archive_entry_xattr_add_entry(e.get(), x.name.c_str(), x.value.data(), x.value.size());
    std::vector<std::pair<off_t, off_t>> parts;
    if (has_data) parts = data_parts(*data, from.size);
    if (!parts.empty()) {
      for (const auto& [begin, end] : parts)
        archive_entry_sparse_add_entry(e.get(), begin, end - begin);
    }
    if (*stop) return was_stopped();
    const Utf8Names utf8;
    if (archive_write_header(handle, e.get()) < ARCHIVE_WARN) return wrong();
    if (!has_data) return {};
    if (parts.empty()) return file_data(*data, from.path, 0, from.size);
    // libarchive takes the whole file's bytes and leaves the holes' out itself.
    off_t at = 0;
    for (const auto& [begin, end] : parts) {
      CHECK(zeros(begin - at));
      CHECK(file_data(*data, from.path, begin, end));
      at = end;
    }
    return zeros(from.size - at);
  }

  // The parts of a file with large holes that hold data; none: it is to be written whole.
  static std::vector<std::pair<off_t, off_t>> data_parts(const UniqueFd& fd, off_t size) {
    std::vector<std::pair<off_t, off_t>> out;
    struct stat st {};
    if (size < kWorthAHole || ::fstat(fd.get(), &st) != 0 || st.st_size != size ||
        static_cast<off_t>(st.st_blocks) * 512 + kWorthAHole > size)
      return out;
    for (off_t at = 0; at < size;) {
      const off_t data = ::lseek(fd.get(), at, SEEK_DATA);
      if (data < 0 && errno != ENXIO) return {};
      if (data < 0 || data >= size) break;
      off_t hole = ::lseek(fd.get(), data, SEEK_HOLE);
      if (hole < 0 || hole > size) hole = size;
      out.emplace_back(data, hole);
      at = hole;
    }
    if (out.empty() || out.back().second < size) out.emplace_back(size, size);
    return out;
  }

  Result<> zeros(off_t count) {
    static constexpr std::array<char, 65536> kZeros{};
    while (count > 0) {
      const auto n = std::min<off_t>(count, static_cast<off_t>(kZeros.size()));
      CHECK(bytes({kZeros.data(), static_cast<std::size_t>(n)}));
      count -= n;
    }
    return {};
  }

  Result<> file_data(const UniqueFd& from, const std::string& path, off_t begin, off_t end) {
    buffer.resize(kBlock);
    while (begin < end) {
      const auto want = std::min(static_cast<std::size_t>(end - begin), buffer.size());
      const auto n = ::pread(from.get(), buffer.data(), want, begin);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return sys_error("read {}", path);
      if (n == 0) return zeros(end - begin);  // shorter than it was
      CHECK(bytes({buffer.data(), static_cast<std::size_t>(n)}));
      begin += n;
    }
    return {};
  }

  Result<> bytes(std::string_view data) {
    while (!data.empty()) {
      if (*stop) return was_stopped();
      const auto n = archive_write_data(handle, data.data(), data.size());
      if (n <= 0) return wrong();
      data.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }
};

ArchiveWriter::ArchiveWriter(const UniqueFd& to)
    : ArchiveWriter([&to](std::string_view bytes) { return write_all(to, bytes); }) {}

ArchiveWriter::ArchiveWriter(Sink to) : state_(std::make_unique<State>(std::move(to))) {
  archive_write_set_format_pax_restricted(state_->handle);
  // Attributes as GNU tar and Go write them alone; not libarchive's own form beside it.
  archive_write_set_format_option(state_->handle, "pax", "xattrheader", "SCHILY");
  archive_write_set_bytes_per_block(state_->handle, static_cast<int>(kBlock));
  archive_write_set_bytes_in_last_block(state_->handle, 1);
  archive_write_open(state_->handle, state_.get(), nullptr, &State::put, nullptr);
}
ArchiveWriter::~ArchiveWriter() = default;

void ArchiveWriter::stop_with(const std::atomic<bool>& stop) { state_->stop = &stop; }

Result<> ArchiveWriter::directory(const std::string& path) {
  return state_->header(path, S_IFDIR, 0);
}

Result<> ArchiveWriter::file(const std::string& path, std::string_view bytes) {
  CHECK(state_->header(path, S_IFREG, static_cast<std::int64_t>(bytes.size())));
  return state_->bytes(bytes);
}

Result<> ArchiveWriter::file(const std::string& path, const UniqueFd& from, std::int64_t size) {
  CHECK(state_->header(path, S_IFREG, size));
  std::vector<char> buffer(kBlock);
  std::int64_t done = 0;
  while (done < size) {
    const auto n = ::pread(from.get(), buffer.data(), buffer.size(), done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("read {}", path);
    if (n == 0) return fail(Errc::internal, "read {}: shorter than it was", path);
    CHECK(state_->bytes({buffer.data(), static_cast<std::size_t>(n)}));
    done += n;
  }
  return {};
}

Result<> ArchiveWriter::entry(const ArchiveEntry& entry, const UniqueFd* data) {
  return state_->write_entry(entry, data);
}

Result<> ArchiveWriter::finish() {
  if (archive_write_close(state_->handle) < ARCHIVE_WARN) return state_->wrong();
  return {};
}

}  // namespace coracle::storage
