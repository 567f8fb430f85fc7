// Why a host refuses namespaces, and what its administrator can do about it. What is asked of the
// host is a value, so that the texts can be tested without such a host.
#pragma once

#include <optional>
#include <string>

#include "engine/base/result.hpp"

namespace coracle::rootless {

// Settings of the kernel; nothing: this kernel does not have it.
struct Knobs {
  std::optional<long> max_user_namespaces;
  std::optional<long> max_mnt_namespaces;
  std::optional<long> max_net_namespaces;
  std::optional<long> unprivileged_userns_clone;       // Debian, before 11
  std::optional<long> apparmor_restrict_unprivileged;  // Ubuntu, from 23.10
  bool chrooted = false;
};
Knobs read_knobs();

// The steps of the keeper that a host may refuse.
namespace step {
constexpr const char* kUser = "make a user namespace";
constexpr const char* kMount = "make a mount namespace";
constexpr const char* kPropagation = "keep our mounts from the host";
constexpr const char* kNetwork = "make the bridge's network namespace";
}  // namespace step

// The error of `step` that failed with errno `sys`, with the reason and the remedy where the knobs
// tell them.
Error explain_refusal(const std::string& step, int sys, const Knobs& knobs);

}  // namespace coracle::rootless
