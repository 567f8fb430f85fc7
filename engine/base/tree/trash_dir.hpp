// Unlinking what lies in a trash directory. Each entry is renamed before it is tried, to NAME.tryN:
// one that ends this process, or cannot be removed, is left alone after kMostTries, so that no
// start runs into it for ever.
#pragma once

#include <string>

#include "engine/base/tree/walk.hpp"

namespace coracle {

constexpr int kMostTries = 5;

// How often the removal of an entry of that name was begun before.
int tries_of(const std::string& name);
// Removes the entries; what stays is told in the log, with the remedy. A directory that is not
// there is fine. Blocks.
void empty_trash_dir(const std::string& dir, Stop stop = nullptr);

}  // namespace coracle
