// What a request may not say, with Docker's texts; and what it asks for that this host cannot keep.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/face/types.hpp"

namespace coracle {

// On what was asked for, before defaults are filled in.
//   errors  invalid_argument, unsupported
Result<> validate(const ContainerConfig& config, const HostConfig& host, std::int32_t cpus);

// Takes limits away that need a cgroup of our own, a warning for each: never a silent one.
std::vector<std::string> discard_limits(HostConfig& host);
// Accepted, kept, and without effect so far.
std::vector<std::string> other_warnings(const ContainerConfig& config, const HostConfig& host);

// A signal by name, with or without "SIG", or number. "" gives `fallback`.
//   errors  invalid_argument "Invalid signal: X"
Result<int> parse_signal(const std::string& text, int fallback);

}  // namespace coracle
