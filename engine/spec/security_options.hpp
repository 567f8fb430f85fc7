// The values of --security-opt, taken apart.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle {

struct SecurityOptions {
  std::optional<std::string> seccomp;  // "unconfined", "builtin", or the text of a profile (JSON)
  std::string apparmor;                // "", "unconfined", or a profile's name
  bool no_new_privileges = false;
  bool system_paths_unconfined = false;
  bool writable_cgroups = false;
  std::vector<std::string> labels;  // SELinux
  // userns=keep-id…, for clients that refuse it as --userns; see spec/keep_id.hpp.
  std::string userns;
};

// Both forms that clients send: "key=value", and the old "key:value".
//   errors  invalid_argument `invalid --security-opt 2: "x"`
Result<SecurityOptions> parse_security_options(const std::vector<std::string>& options);

}  // namespace coracle
