// Blobs by digest, as received: layers (compressed or not), manifests, configurations. A blob is
// written to tmp/, verified, synced, and renamed to blobs/sha256/HEX: what has that name is whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "storage/content/digest.hpp"
#include "storage/content/free_space.hpp"
#include "storage/content/trash.hpp"

namespace coracle::storage {

// Safe from any thread; blocking.
class BlobStore {
 public:
  BlobStore(std::string root, Trash& trash);
  Result<> prepare();

  [[nodiscard]] std::string path(const std::string& digest) const;
  [[nodiscard]] bool has(const std::string& digest) const;
  // errors  not_found "blob sha256:…: …"
  [[nodiscard]] Result<std::int64_t> size(const std::string& digest) const;
  [[nodiscard]] Result<UniqueFd> open(const std::string& digest) const;
  // The bytes of a small blob, verified.   errors  not_found; internal (damaged)
  [[nodiscard]] Result<std::string> read(const std::string& digest,
                                         std::size_t limit = std::size_t{16} << 20) const;
  // Stores bytes under their digest and returns it. One that is there already is left as it is.
  Result<std::string> put(std::string_view bytes);

  // A blob that is being written: dropped without commit, it leaves nothing.
  class Writer {
   public:
    Writer(Writer&& other) noexcept;
    Writer& operator=(Writer&&) = delete;
    ~Writer();
    // errors  the file system's; unavailable: the disk is nearly full (free_space)
    Result<> write(std::string_view bytes);
    [[nodiscard]] std::int64_t size() const { return size_; }
    // Ends the hashing. The digest of what was written.
    const std::string& digest();
    // All is written: keeps no descriptor from here on.
    void rest();
    // Makes it a blob: rename (of a synced file, unless the caller has synced the whole file
    // system) and sync of the directory.   errors  invalid_argument when `expected` (may be "") is
    // another digest
    Result<std::string> commit(const std::string& expected, bool synced_by_caller = false);

   private:
    friend class BlobStore;
    Writer(BlobStore& store, UniqueFd fd, std::string temporary)
        : store_(&store), fd_(std::move(fd)), temporary_(std::move(temporary)) {}
    BlobStore* store_;
    UniqueFd fd_;
    std::string temporary_;  // "" once committed or moved from
    Sha256 hash_;
    std::string digest_;
    std::int64_t size_ = 0;
    SpaceWatch space_;
    std::int64_t begun_ = 0;  // bytes that the kernel has been asked to bring to the disk
  };
  Result<Writer> begin();

  [[nodiscard]] Result<std::vector<std::string>> list() const;  // digests
  Result<> remove(const std::string& digest);                   // into the trash

 private:
  std::string directory_, temporary_;
  Trash& trash_;
};

}  // namespace coracle::storage
