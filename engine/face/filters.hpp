// Filters of lists, events and prunes.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle {

// Filters as the API has them: key -> values. `label!` negates.
using Filters = std::map<std::string, std::vector<std::string>>;

// The keys that each of them knows.
using FilterKeys = std::span<const std::string_view>;
inline constexpr std::array<std::string_view, 15> kContainerFilterKeys = {
    "ancestor", "before", "exited",  "expose",  "health", "id",     "is-task", "isolation",
    "label",    "name",   "network", "publish", "since",  "status", "volume"};
inline constexpr std::array<std::string_view, 6> kImageFilterKeys = {
    "before", "dangling", "label", "reference", "since", "until"};
inline constexpr std::array<std::string_view, 3> kSearchFilterKeys = {"is-automated", "is-official",
                                                                      "stars"};
inline constexpr std::array<std::string_view, 4> kVolumeFilterKeys = {"dangling", "driver", "label",
                                                                      "name"};
inline constexpr std::array<std::string_view, 7> kNetworkFilterKeys = {
    "dangling", "driver", "id", "label", "name", "scope", "type"};
inline constexpr std::array<std::string_view, 14> kEventFilterKeys = {
    "config", "container", "daemon", "event",  "image",   "label", "network",
    "node",   "plugin",    "scope",  "secret", "service", "type",  "volume"};

//   errors  invalid_argument "invalid filter 'x'"
Result<> check_filter_key(std::string_view key, FilterKeys known);
Result<> check_filter_keys(const Filters& filters, FilterKeys known);

// A filter that is a switch: "true", "1", "false", "0"; nothing when it is not given.
//   errors  invalid_argument "invalid filter 'dangling=[maybe]'"
Result<std::optional<bool>> switch_of(const Filters& filters, const std::string& key);

}  // namespace coracle
