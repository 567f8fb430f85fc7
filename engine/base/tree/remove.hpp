// Removal of trees that somebody else made, however deep they are: no recursion, few descriptors,
// and a memory that does not grow with them.
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/base/tree/walk.hpp"

namespace coracle {

// rm -r of `name` in `dir`, following no link; one that is gone is fine. Directories without
// permission bits of ours are given them first.
//   errors  name the entry; of one that was stopped: ECANCELED (what is left can be removed later)
Result<> remove_in(const UniqueFd& dir, const std::string& name, Stop stop = nullptr);
// The same of all that is in `dir`.
Result<> empty_dir(const UniqueFd& dir, Stop stop = nullptr);

}  // namespace coracle
