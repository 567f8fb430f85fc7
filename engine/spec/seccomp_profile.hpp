// Docker's seccomp profiles: the JSON that `--security-opt seccomp=FILE` takes, with conditions on
// capabilities, architectures and kernel versions. The default one is data (default_seccomp.json,
// embedded in the program). Resolved for one container it is an oci::Seccomp without conditions.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "engine/base/result.hpp"
#include "engine/spec/oci.hpp"

namespace coracle {

struct KernelVersion {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  auto operator<=>(const KernelVersion&) const = default;
};
// From the text of uname(2)'s release ("6.18.3-amd64") or of a profile ("4.8").
//   errors  invalid_argument
Result<KernelVersion> parse_kernel_version(std::string_view text);

// Who the profile is resolved for.
struct SeccompTarget {
  std::set<std::string> capabilities;  // of the bounding set: "CAP_SYS_ADMIN"
  std::string arch;                    // as Go names it: amd64, arm64, …
  KernelVersion kernel;
};
// This host's architecture (as Go names it) and kernel; the capabilities are left empty.
SeccompTarget this_host();

// The text of Docker's default profile.
std::string_view default_seccomp_profile();

// Keeps the rules whose conditions hold; the architectures become the native one and those that run
// on it (archMap). Conditions, as in moby: every one of `includes` must hold, none of `excludes`.
//   errors  invalid_argument: the profile is malformed
Result<oci::Seccomp> resolve_seccomp_profile(std::string_view profile, const SeccompTarget& target);

}  // namespace coracle
