// Small acts on text, in ASCII: what is beyond it stays as it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coracle {

std::string lower(std::string_view text);
std::string upper(std::string_view text);
// Without the white space at both ends.
std::string_view trimmed(std::string_view text);
// What stands between the separators, also what is empty; of "" one that is.
std::vector<std::string_view> split(std::string_view text, char separator);
// The words between white space.
std::vector<std::string_view> words_of(std::string_view text);
// What stands between commas, without what is empty.
std::vector<std::string> list_items(std::string_view text);

// As Go reads it (strconv.ParseBool): 1, t, T, true, TRUE, True and their opposites.
std::optional<bool> parse_go_bool(std::string_view text);
// As Go reads it (time.ParseDuration), but not below zero: "1m30s", "1.5h", "500ms".
std::optional<std::int64_t> parse_go_duration_ns(std::string_view text);

// A whole number, nothing around it.
std::optional<std::int64_t> parse_int64(std::string_view text);
// As Go's docker/go-units: "64m", "1.5 GiB", "20MB"; a letter stands for powers of `thousand` (1000 or
// 1024), whether an "i" follows or not. Nothing above 9e18.
std::optional<std::int64_t> parse_size(std::string_view text, double thousand);

}  // namespace coracle
