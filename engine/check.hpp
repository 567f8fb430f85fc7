// coracle check: looks through what a daemon keeps, without one; says what is damaged, missing or
// untrue, and with --repair moves it aside (data-root/lost+found), so that a daemon starts with
// what is whole, and pulls images again that a registry has. While a daemon runs it only looks, and
// leaves out what is under way. Blocks.
#pragma once

#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "storage/check.hpp"
#include "storage/content/config.hpp"

namespace coracle {

struct CheckRequest {
  std::string data_root, exec_root;
  bool repair = false;                         // pull_again() comes next
  bool deep = false;                           // reads and hashes every blob
  bool in_namespaces = false, one_id = false;  // storage/check.hpp
};

struct CheckReport {
  std::vector<storage::Finding> findings;
  std::vector<storage::LostImage> lost;
  bool running = false;  // a daemon uses the data root
  UniqueFd lock;         // no daemon starts while it lives
  // Those that are neither notes nor mended.
  [[nodiscard]] std::size_t open() const;
};

//   errors  not_found (no such data root); conflict: --repair while a daemon runs, with its pid
Result<CheckReport> check(const CheckRequest& request);

// Pulls what was lost again, as an unknown client, or moves it aside; and looks once more: what is
// still open is told anew. In the keeper's namespaces (rootless/keeper.hpp).
//   errors  the store cannot be opened
Result<> pull_again(CheckReport& report, const CheckRequest& request, storage::Config config);

// One line a finding: "layer sha256:…: its directory diff is missing; pull the image again".
std::string to_text(const CheckReport& report);

}  // namespace coracle
