#include "engine/base/at.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/base/path.hpp"

namespace coracle::at {

bool is_name(const char* text) {
  if (text[0] == 0 || std::strchr(text, '/') != nullptr) return false;
  return text[0] != '.' || (text[1] != 0 && (text[1] != '.' || text[2] != 0));
}

const char* Name::checked() const {
  if (whole_ && is_name(text_)) return text_;
  errno = EINVAL;
  return nullptr;
}

UniqueFd open(const UniqueFd& dir, const Name& name, int flags, mode_t mode) {
  const char* text = name.checked();
  if (text == nullptr) return {};
  return UniqueFd(::openat(dir.get(), text, flags | O_NOFOLLOW | O_CLOEXEC, mode));
}

UniqueFd open_dir(const UniqueFd& dir, const Name& name) {
  return open(dir, name, O_RDONLY | O_DIRECTORY);
}

UniqueFd reopen(const UniqueFd& dir) {
  return UniqueFd(::openat(dir.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

UniqueFd parent(const UniqueFd& dir) {
  return UniqueFd(::openat(dir.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

int look(const UniqueFd& dir, const Name& name, struct stat& st) {
  const char* text = name.checked();
  return text == nullptr ? -1 : ::fstatat(dir.get(), text, &st, AT_SYMLINK_NOFOLLOW);
}

int make_dir(const UniqueFd& dir, const Name& name, mode_t mode) {
  const char* text = name.checked();
  return text == nullptr ? -1 : ::mkdirat(dir.get(), text, mode);
}

int make_node(const UniqueFd& dir, const Name& name, mode_t mode, dev_t device) {
  const char* text = name.checked();
  return text == nullptr ? -1 : ::mknodat(dir.get(), text, mode, device);
}

int make_link(const std::string& link, const UniqueFd& dir, const Name& name) {
  const char* text = name.checked();
  return text == nullptr ? -1 : ::symlinkat(link.c_str(), dir.get(), text);
}

ssize_t read_link(const UniqueFd& dir, const Name& name, char* into, std::size_t size) {
  const char* text = name.checked();
  return text == nullptr ? -1 : ::readlinkat(dir.get(), text, into, size);
}

int hard_link(const UniqueFd& from, const Name& old_name, const UniqueFd& to, const Name& name) {
  const char* old_text = old_name.checked();
  const char* text = name.checked();
  if (old_text == nullptr || text == nullptr) return -1;
  return ::linkat(from.get(), old_text, to.get(), text, 0);
}

int unlink(const UniqueFd& dir, const Name& name) {
  const char* text = name.checked();
  return text == nullptr ? -1 : ::unlinkat(dir.get(), text, 0);
}

int remove_dir(const UniqueFd& dir, const Name& name) {
  const char* text = name.checked();
  return text == nullptr ? -1 : ::unlinkat(dir.get(), text, AT_REMOVEDIR);
}

int move(const UniqueFd& from, const Name& old_name, const UniqueFd& to, const Name& name,
         unsigned flags) {
  const char* old_text = old_name.checked();
  const char* text = name.checked();
  if (old_text == nullptr || text == nullptr) return -1;
  return ::renameat2(from.get(), old_text, to.get(), text, flags);
}

int give(const UniqueFd& dir, const Name& name, uid_t uid, gid_t gid) {
  const char* text = name.checked();
  return text == nullptr ? -1 : ::fchownat(dir.get(), text, uid, gid, AT_SYMLINK_NOFOLLOW);
}

int set_times(const UniqueFd& dir, const Name& name, const std::array<timespec, 2>& times) {
  const char* text = name.checked();
  return text == nullptr ? -1 : ::utimensat(dir.get(), text, times.data(), AT_SYMLINK_NOFOLLOW);
}

bool is_there(const UniqueFd& dir, const Name& name) {
  struct stat st {};
  return look(dir, name, st) == 0;
}

int set_mode(const UniqueFd& file, mode_t mode) { return ::chmod(proc_path(file).c_str(), mode); }

int set_owner(const UniqueFd& file, uid_t uid, gid_t gid) {
  return ::chown(proc_path(file).c_str(), uid, gid);
}

int set_times(const UniqueFd& file, const std::array<timespec, 2>& times) {
  return ::utimensat(AT_FDCWD, proc_path(file).c_str(), times.data(), 0);
}

}  // namespace coracle::at
