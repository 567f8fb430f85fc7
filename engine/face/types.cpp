#include "engine/face/types.hpp"

#include <array>
#include <utility>

#include "engine/base/json.hpp"

namespace coracle {
namespace {

constexpr std::array kStatusNames = {
    std::pair{Status::created, "created"},   std::pair{Status::running, "running"},
    std::pair{Status::paused, "paused"},     std::pair{Status::restarting, "restarting"},
    std::pair{Status::removing, "removing"}, std::pair{Status::exited, "exited"},
    std::pair{Status::dead, "dead"},
};

}  // namespace

json::Value leaf_to_json(const StringList& list) { return json::to_json(list.items); }

Result<StringList> leaf_from_json(const json::Value& value,
                                  std::type_identity<StringList> /*tag*/) {
  if (value.is_string()) return StringList{{std::string(value.get_string())}};
  auto items = json::from_json<std::vector<std::string>>(value);
  if (!items) return fail(Errc::invalid_argument, "expected a string or a list of strings");
  return StringList{*std::move(items)};
}

const char* name_of(Status status) {
  for (const auto& [s, name] : kStatusNames) {
    if (s == status) return name;
  }
  return "dead";
}

std::optional<Status> status_from_name(const std::string& name) {
  for (const auto& [s, text] : kStatusNames) {
    if (name == text) return s;
  }
  return std::nullopt;
}

// Not in braces: those would make a list of it.
json::Value leaf_to_json(const Status& status) { return json::Value(name_of(status)); }

Result<Status> leaf_from_json(const json::Value& value, std::type_identity<Status> /*tag*/) {
  const auto found =
      value.is_string() ? status_from_name(std::string(value.get_string())) : std::nullopt;
  if (!found) return fail(Errc::invalid_argument, "expected a container's status");
  return *found;
}

}  // namespace coracle
