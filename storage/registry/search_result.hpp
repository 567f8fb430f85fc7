// One image that a search has found.
#pragma once

#include <cstdint>
#include <string>

namespace coracle::storage {

struct SearchResult {
  std::string name, description;
  std::int64_t star_count = 0;
  bool is_official = false, is_automated = false;
};
void describe(auto& field, SearchResult& r) {
  field("name", r.name)("description", r.description)("star_count", r.star_count)(
      "is_official", r.is_official)("is_automated", r.is_automated);
}

}  // namespace coracle::storage
