#include "engine/spec/keep_id.hpp"

#include <charconv>
#include <string_view>

namespace coracle {
namespace {

constexpr std::string_view kKeepId = "keep-id";

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Result<std::optional<KeepIdRequest>> parse_userns_mode(const std::string& mode) {
  std::optional<KeepIdRequest> out;
  if (mode.empty() || mode == "host") return out;
  const auto invalid = [&] {
    return fail(Errc::invalid_argument, "invalid user namespace mode: {}", mode);
  };
  std::string_view rest = mode;
  if (!rest.starts_with(kKeepId)) return invalid();
  rest.remove_prefix(kKeepId.size());
  out.emplace();
  if (rest.empty()) return out;
  if (rest.front() != ':' || rest.size() == 1) return invalid();
  rest.remove_prefix(1);
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const auto part = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const auto value = part.size() > 4 ? number(part.substr(4)) : std::nullopt;
    if (!value) return invalid();
    if (part.starts_with("uid=")) {
      out->uid = value;
    } else if (part.starts_with("gid=")) {
      out->gid = value;
    } else {
      return invalid();
    }
  }
  return out;
}

Result<std::vector<oci::IdMapping>> keep_id_map(std::uint32_t id, std::uint32_t ids) {
  if (id >= ids)
    return fail(Errc::invalid_argument,
                "keep-id: there is no id {} among the {} ids of this user; an administrator can "
                "give more in /etc/subuid and /etc/subgid",
                id, ids);
  if (id == 0) return std::vector<oci::IdMapping>{{0, 0, ids}};
  std::vector<oci::IdMapping> map{{0, id, 1}};
  if (id > 1) map.push_back({1, 1, id - 1});
  map.push_back({id, 0, 1});
  if (id + 1 < ids) map.push_back({id + 1, id + 1, ids - id - 1});
  return map;
}

std::string layer_id_map(const std::vector<oci::IdMapping>& map) {
  std::string out;
  for (const auto& m : map)
    out += fmt::format("{}{}:{}:{}", out.empty() ? "" : ":", m.container_id, m.host_id, m.size);
  return out;
}

std::uint32_t root_of(const std::vector<oci::IdMapping>& map) {
  for (const auto& m : map)
    if (m.container_id == 0) return m.host_id;
  return 0;
}

}  // namespace coracle
