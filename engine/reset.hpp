// coracle reset: everything that a daemon keeps goes. Blocks.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/monitor/protocol.hpp"

namespace coracle {

struct ResetReport {
  std::size_t containers = 0, images = 0, volumes = 0;
  std::vector<monitor::Identity> running;
};
// What there is.
//   errors  not_found: no such data root
Result<ResetReport> look_before_reset(const std::string& data_root, const std::string& exec_root);

// Kills them, and waits until they have ended.
//   errors  unavailable: one does not end
Result<> end_containers(const std::vector<monitor::Identity>& running);

// In the keeper's namespaces, with both roots locked. What is not ours in them stays.
//   errors  those of the file system; conflict: something is still mounted below the data root
Result<> reset(const std::string& data_root, const std::string& exec_root);

}  // namespace coracle
