// Which of the images that a registry has found are wanted: the filters of docker search.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/base/result.hpp"
#include "engine/face/filters.hpp"
#include "storage/registry/search_result.hpp"

namespace coracle {

struct SearchRules {
  std::optional<bool> official, automated;
  std::int64_t stars = 0;  // at least so many

  [[nodiscard]] bool takes(const storage::SearchResult& found) const {
    return (!official || *official == found.is_official) && found.star_count >= stars;
  }
};

//   errors  invalid_argument "invalid filter 'stars=many'"
Result<SearchRules> search_rules(const Filters& filters);

}  // namespace coracle
