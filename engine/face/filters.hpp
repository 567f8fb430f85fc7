// Filters of lists, events and prunes.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace coracle {

// Filters as the API has them: key -> values. `label!` negates.
using Filters = std::map<std::string, std::vector<std::string>>;

}  // namespace coracle
