// `--user`: a name or number, looked up in the container's own /etc/passwd and /etc/group. The
// rules and words are Docker's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::runtime {

struct ResolvedUser {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;
  std::string home = "/";
  bool operator==(const ResolvedUser&) const = default;
};

// Pure. `user`: "name", "name:group", "uid", "uid:gid", …
//   errors  not_found "unable to find user NAME: no matching entries in passwd file", … group …;
//           invalid_argument "uids and gids must be in range 0-2147483647: …": also where the files
//           say something else for an id
Result<ResolvedUser> lookup_user(std::string_view user, std::string_view passwd,
                                 std::string_view group);

// Pure. The id of a group by name or number, as --group-add takes it: a number need not be in the
// file.
//   errors  not_found "Unable to find group NAME"; invalid_argument: out of range
Result<std::uint32_t> lookup_additional_group(std::string_view wanted, std::string_view group);

// The user of a process: by name where username is set, else its ids; the home directory either
// way.
Result<ResolvedUser> resolve_user(const oci::User& user, const UniqueFd& root);

}  // namespace coracle::runtime
