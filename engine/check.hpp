// coracle check: looks through what a daemon keeps, without one; says what is damaged, missing or
// untrue, and with --repair moves it aside (data-root/lost+found), so that a daemon starts with
// what is whole. While a daemon runs it only looks, and leaves out what is under way. Blocks.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "storage/check.hpp"

namespace coracle {

struct CheckRequest {
  std::string data_root, exec_root;
  bool repair = false;
  bool deep = false;  // reads and hashes every blob
};

struct CheckReport {
  std::vector<storage::Finding> findings;
  bool running = false;  // a daemon uses the data root
  // Those that are neither notes nor mended.
  [[nodiscard]] std::size_t open() const;
};

//   errors  not_found (no such data root); conflict: --repair while a daemon runs, with its pid
Result<CheckReport> check(const CheckRequest& request);

// One line a finding: "layer sha256:…: its directory diff is missing; pull the image again".
std::string to_text(const CheckReport& report);

}  // namespace coracle
