// The *at() system calls, by a single name in an open directory. A path of several components is
// looked up through whatever somebody put in its way meanwhile; a single name below a descriptor is
// not. So these take one name and nothing else: a name that is empty, "." or "..", or has a slash
// in it, is refused with EINVAL before the kernel sees it. No link is followed by any of them.
// `ctest -R paths` holds the sources to this: outside of at.cpp and path.cpp (openat2(2)) nobody
// makes such a call.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include <array>
#include <string>

#include "engine/base/fd.hpp"

namespace coracle::at {

// Is it one component, and a name?
bool is_name(const char* text);

// A name in a directory, by reference: for the length of a call.
class Name {
 public:
  Name(const char* text) : text_(text) {}  // NOLINT(google-explicit-constructor)
  Name(const std::string& text)
      : text_(text.c_str()),  // NOLINT(google-explicit-constructor)
        whole_(text.find('\0') == std::string::npos) {}
  // The name; null, and errno EINVAL, when it is none.
  [[nodiscard]] const char* checked() const;

 private:
  const char* text_;
  bool whole_ = true;  // no byte behind a NUL
};

// openat(2) with O_NOFOLLOW | O_CLOEXEC. Not open: errno tells.
UniqueFd open(const UniqueFd& dir, const Name& name, int flags, mode_t mode = 0);
UniqueFd open_dir(const UniqueFd& dir, const Name& name);  // O_RDONLY | O_DIRECTORY
// The directory itself once more, as an open file of its own: "." and O_RDONLY | O_DIRECTORY.
UniqueFd reopen(const UniqueFd& dir);
// The directory that holds it now: "..". Whoever asks compares what comes with what it was.
UniqueFd parent(const UniqueFd& dir);

// 0, or -1 and errno, as the calls of their names.
int look(const UniqueFd& dir, const Name& name, struct stat& st);
int make_dir(const UniqueFd& dir, const Name& name, mode_t mode);
int make_node(const UniqueFd& dir, const Name& name, mode_t mode, dev_t device);
// A link's text may be any path.
int make_link(const std::string& text, const UniqueFd& dir, const Name& name);
ssize_t read_link(const UniqueFd& dir, const Name& name, char* into, std::size_t size);
int hard_link(const UniqueFd& from, const Name& old_name, const UniqueFd& to, const Name& name);
int unlink(const UniqueFd& dir, const Name& name);
int remove_dir(const UniqueFd& dir, const Name& name);
// renameat2(2).   flags  RENAME_NOREPLACE, …
int move(const UniqueFd& from, const Name& old_name, const UniqueFd& to, const Name& name,
         unsigned flags);
int give(const UniqueFd& dir, const Name& name, uid_t uid, gid_t gid);
int set_times(const UniqueFd& dir, const Name& name, const std::array<timespec, 2>& times);
bool is_there(const UniqueFd& dir, const Name& name);

// Of an open file, also one opened with O_PATH (through /proc/self/fd).
int set_mode(const UniqueFd& file, mode_t mode);
int set_owner(const UniqueFd& file, uid_t uid, gid_t gid);
int set_times(const UniqueFd& file, const std::array<timespec, 2>& times);

}  // namespace coracle::at
