// Volumes: who uses them, and who is told.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/parts.hpp"

namespace coracle {

Result<std::vector<storage::Volume>> list_volumes(const Parts& parts, const Filters& filters);
Task<storage::Volume> create_volume(Parts& parts, std::string name, std::string driver,
                                    std::map<std::string, std::string> options,
                                    std::map<std::string, std::string> labels);
//   errors  not_found (not with force); conflict "remove X: volume is in use - [id, id]"
Task<> remove_volume(Parts& parts, std::string name, bool force);

}  // namespace coracle
