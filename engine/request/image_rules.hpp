// What a list of images shows, and which images a name or a filter means. Pure.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/base/result.hpp"
#include "engine/face/filters.hpp"
#include "storage/images/image.hpp"

namespace coracle {

// When an image may have been made: after all of what `since` names, before all of what `before`
// and `until` name. Zero: no bound.
struct CreatedWindow {
  Time after, before;
  [[nodiscard]] bool holds(Time created) const;
};
//   find    the image that a value of `before` or `since` names
//   errors  those of `find`; invalid_argument (a time)
using FindImage = std::function<Result<storage::Image>(const std::string& name)>;
Result<CreatedWindow> window_of(const Filters& filters, Time at, const FindImage& find);

// Whether the other filters let the image through. One that `reference` asks for is listed with the
// names that it means alone, as at Docker.
bool take_listed(storage::Image& image, const Filters& filters);

// `reference` filter: a name with or without tag, "*" and "?" not matching "/".
bool reference_matches(const std::string& pattern, const std::string& name);

// All tags of the repository that `name` is, in the familiar form; none when it has a tag or a
// digest, or is no name.
std::vector<std::string> tags_of_repository(const std::vector<storage::Image>& images,
                                            const std::string& name);

// What `image prune -a` removes of an image: all of it, by its id; of one in use the names but the
// last in Docker's order, of names in full.
std::vector<std::string> pruned_names(const storage::Image& image, bool used);

}  // namespace coracle
