// Are two trees the same? For a layer's directory beside what its blob is unpacked to.
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/base/tree/walk.hpp"

namespace coracle::storage {

// The first entry that differs, and in what: "etc/motd: its content"; "": none. Compared: kinds,
// owners, modes, sizes, contents, links' targets, devices, extended attributes, and of what is no
// directory its time. Blocking. Depth and width are the layer's: engine/base/tree/walk.hpp.
//   errors  name the path; ECANCELED, when it was stopped
Result<std::string> difference(const UniqueFd& kept, const UniqueFd& fresh, Stop stop = nullptr);

}  // namespace coracle::storage
