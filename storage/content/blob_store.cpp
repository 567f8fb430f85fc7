#include "storage/content/blob_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/ident.hpp"

namespace coracle::storage {
namespace {
constexpr std::int64_t kWriteBehind = std::int64_t{8} << 20;
}

BlobStore::BlobStore(std::string root, Trash& trash)
    : directory_(root + "/blobs/sha256"), temporary_(root + "/tmp"), trash_(trash) {}

Result<> BlobStore::prepare() {
  CHECK(make_dirs(directory_));
  return make_dirs(temporary_);
}

std::string BlobStore::path(const std::string& digest) const {
  return directory_ + "/" + hex_of(digest);
}

bool BlobStore::has(const std::string& digest) const {
  return is_digest(digest) && exists(path(digest));
}

Result<std::int64_t> BlobStore::size(const std::string& digest) const {
  if (!is_digest(digest)) return fail(Errc::invalid_argument, "blob {}: not a digest", digest);
  struct stat st {};
  if (::stat(path(digest).c_str(), &st) != 0) return sys_error("blob {}", digest);
  return static_cast<std::int64_t>(st.st_size);
}

Result<UniqueFd> BlobStore::open(const std::string& digest) const {
  if (!is_digest(digest)) return fail(Errc::invalid_argument, "blob {}: not a digest", digest);
  UniqueFd fd(::open(path(digest).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return sys_error("blob {}", digest);
  return fd;
}

Result<std::string> BlobStore::read(const std::string& digest, std::size_t limit) const {
  TRY(const auto fd, open(digest));
  auto bytes = read_all(fd, limit);
  if (!bytes) return std::unexpected(bytes.error().within("blob {}", digest));
  if (sha256_of(*bytes) != digest) {
    return fail(Errc::internal, "blob {}: its content is damaged; pull or load the image again",
                digest);
  }
  return bytes;
}

Result<std::string> BlobStore::put(std::string_view bytes) {
  auto digest = sha256_of(bytes);
  // A damaged one is replaced.
  if (auto there = read(digest, bytes.size() + 1); there) return digest;
  TRY(auto writer, begin());
  CHECK(writer.write(bytes));
  return writer.commit(digest);
}

Result<BlobStore::Writer> BlobStore::begin() {
  std::string temporary = temporary_ + "/blob-" + random_id();
  UniqueFd fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return sys_error("write a blob to {}", temporary_);
  return Writer(*this, std::move(fd), std::move(temporary));
}

BlobStore::Writer::Writer(Writer&& other) noexcept
    : store_(other.store_),
      fd_(std::move(other.fd_)),
      temporary_(std::exchange(other.temporary_, {})),
      hash_(std::move(other.hash_)),
      digest_(std::move(other.digest_)),
      size_(other.size_),
      space_(other.space_),
      begun_(other.begun_) {}

BlobStore::Writer::~Writer() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<> BlobStore::Writer::write(std::string_view bytes) {
  if (auto room = space_.wrote(fd_, static_cast<std::int64_t>(bytes.size())); !room)
    return std::unexpected(room.error().within("write a blob to {}", store_->temporary_));
  hash_.update(bytes);
  if (auto done = write_all(fd_, bytes); !done)
    return std::unexpected(done.error().within("write a blob to {}", store_->temporary_));
  size_ += static_cast<std::int64_t>(bytes.size());
  // The disk works beside us, so that little is left to be waited for at the end.
  if (size_ - begun_ >= kWriteBehind) {
    ::sync_file_range(fd_.get(), begun_, size_ - begun_, SYNC_FILE_RANGE_WRITE);
    begun_ = size_;
  }
  return {};
}

const std::string& BlobStore::Writer::digest() {
  if (digest_.empty()) digest_ = hash_.finish();
  return digest_;
}

void BlobStore::Writer::rest() {
  digest();
  fd_.reset();
}

Result<std::string> BlobStore::Writer::commit(const std::string& expected, bool synced_by_caller) {
  if (!expected.empty() && digest() != expected) {
    return fail(Errc::invalid_argument, "blob {}: what arrived has the digest {}", expected,
                digest());
  }
  CHECK(fail_point("ingest.blob"));
  if (!synced_by_caller && !fd_)
    fd_.reset(::open(temporary_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!synced_by_caller && ::fdatasync(fd_.get()) != 0)
    return sys_error("sync the blob {}", digest());
  CHECK(fail_point("ingest.rename"));
  if (::rename(temporary_.c_str(), store_->path(digest()).c_str()) != 0)
    return sys_error("store the blob {}", digest());
  temporary_.clear();
  CHECK(sync_dir(store_->directory_));
  return digest();
}

Result<std::vector<std::string>> BlobStore::list() const {
  TRY(auto names, list_dir(directory_));
  std::vector<std::string> digests;
  for (const auto& name : names) {
    if (is_hex_id(name)) digests.push_back(digest_of_hex(name));
  }
  return digests;
}

Result<> BlobStore::remove(const std::string& digest) { return trash_.take(path(digest)); }

}  // namespace coracle::storage
