#include "engine/container/record.hpp"

#include <array>

#include "engine/base/json.hpp"

namespace coracle {
namespace {

constexpr std::array kMountTypes = {MountType::bind, MountType::volume, MountType::tmpfs,
                                    MountType::image};

}  // namespace

const char* name_of(MountType type) {
  switch (type) {
    case MountType::bind: return "bind";
    case MountType::volume: return "volume";
    case MountType::tmpfs: return "tmpfs";
    case MountType::image: return "image";
  }
  return "";
}

std::optional<MountType> parse_mount_type(const std::string& word) {
  for (const auto type : kMountTypes) {
    if (word == name_of(type)) return type;
  }
  return std::nullopt;
}

json::Value leaf_to_json(const MountType& type) { return json::Value(name_of(type)); }

Result<MountType> leaf_from_json(const json::Value& value, std::type_identity<MountType> /*tag*/) {
  TRY(const auto word, json::from_json<std::string>(value));
  if (const auto type = parse_mount_type(word)) return *type;
  return fail(Errc::invalid_argument, "{} is no type of a mount", word);
}

}  // namespace coracle
