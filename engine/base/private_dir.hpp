// The folders in which we keep sockets and state. Whoever can write in one, or exchange one on the
// way to it, has all that the user has: so they are ours alone, and the whole way is looked at,
// name by name and by descriptor, before anything in them is believed.
#pragma once

#include <sys/types.h>

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

// Opens the folder at an absolute path (for reading; by descriptor it stays the one that was looked
// at). It is ours, and its mode is 0700 afterwards if others had a right to it. Every folder and
// link on the way belongs to root or to us, and nobody else may write there, but for folders with
// the sticky bit, as /tmp. What is missing is made, with mode 0700.
//   errors  forbidden: which part, whose it is, the remedy
Result<UniqueFd> take_private_dir(const std::string& path);
// The same of one that is to be there: nothing is made. errors: not_found
Result<UniqueFd> open_private_dir(const std::string& path);
// The way alone: the folder itself, too, is root's or ours and nobody exchanges what is in it, but
// others may look into it, and its mode stays. What is missing is made, with mode 0700.
Result<UniqueFd> take_trusted_dir(const std::string& path);

// Where a user's sockets and state of running things go: XDG_RUNTIME_DIR if it is set, else
// /run/user/UID, else a folder of our own in /tmp.
struct RuntimeDir {
  std::string path;
  std::string warning;  // what was taken instead of XDG_RUNTIME_DIR; else ""
};
//   xdg     the value of XDG_RUNTIME_DIR, "" when it is not set
//   errors  forbidden: the one in /tmp is another user's
Result<RuntimeDir> runtime_dir(const std::string& xdg, uid_t uid);

}  // namespace coracle
