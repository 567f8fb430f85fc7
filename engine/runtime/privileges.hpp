// What a process may do: capabilities, ids, resource limits. Called in the child, in the order of
// runtime/exec_program.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::runtime {

// The number of "CAP_CHOWN"; nothing for a name this program does not know.
std::optional<int> capability_number(const std::string& name);

// Capability sets as bit masks, only with what this kernel has.
struct CapabilitySets {
  std::uint64_t bounding = 0, effective = 0, permitted = 0, inheritable = 0, ambient = 0;
  bool operator==(const CapabilitySets&) const = default;
};
// Absent capabilities are none at all. Ambient ones are those that are permitted and inheritable
// too. errors: invalid_argument, an unknown name
Result<CapabilitySets> capability_sets(const std::optional<oci::Capabilities>& wanted,
                                       int last_capability);

// Drops what is not in the bounding set.
Result<> limit_bounding_set(const CapabilitySets& sets);
// The three sets, then the ambient one. Needs PR_SET_KEEPCAPS or uid 0 before.
Result<> set_capabilities(const CapabilitySets& sets);
// The highest capability of this kernel. See capabilities(7).
int last_capability();

// setgroups, setresgid, setresuid, keeping the permitted capabilities. Where setgroups(2) is denied
// (one-id mode) the groups that an image's /etc/group gives are left out; those that were asked for
// (`asked`) must be had already. With keep_groups the groups stay as they are.
//   errors  invalid_argument: an id that is not mapped here
Result<> set_ids(std::uint32_t uid, std::uint32_t gid, const std::vector<std::uint32_t>& groups,
                 const oci::User& asked);

// errors: invalid_argument (unknown type), forbidden (above our own hard limit: the remedy is said)
Result<> set_rlimits(const std::vector<oci::Rlimit>& limits);

}  // namespace coracle::runtime
