#include "engine/runtime/user_lookup.hpp"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "engine/base/path.hpp"
#include "engine/base/text.hpp"

namespace coracle::runtime {
namespace {

constexpr std::uint32_t kHighestId = 0x7fffffff;
constexpr std::size_t kUserFileLimit = std::size_t{8} << 20;

// A negative one is a number too, and out of range.
std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto r = std::from_chars(text.data(), text.data() + text.size(), value);
  if (r.ec != std::errc{} || r.ptr != text.data() + text.size()) return std::nullopt;
  return value == 0 && text.starts_with('-') ? -1 : value;  // "-0" is not root
}

// Lines as lists of fields, without those that are too short or no entries.
std::vector<std::vector<std::string_view>> entries(std::string_view file, std::size_t fields) {
  std::vector<std::vector<std::string_view>> out;
  for (auto line : split(file, '\n')) {
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    auto parts = split(line, ':');
    if (parts.size() >= fields) out.push_back(std::move(parts));
  }
  return out;
}

std::unexpected<Error> out_of_range(std::string_view text) {
  return fail(Errc::invalid_argument, "uids and gids must be in range 0-{}: {}", kHighestId, text);
}

// What is no id stands for nobody: least of all for root.
Result<std::uint32_t> id_of(std::string_view text) {
  const auto n = number(text);
  if (!n || *n < 0 || *n > kHighestId) return out_of_range(text);
  return static_cast<std::uint32_t>(*n);
}

Result<> in_range(std::uint32_t id) {
  if (id > kHighestId) return out_of_range(std::to_string(id));
  return {};
}

Result<std::uint32_t> lookup_group(std::string_view wanted, std::string_view group) {
  const auto wanted_id = number(wanted);
  for (const auto& e : entries(group, 3)) {
    if (wanted_id ? number(e[2]) == wanted_id : e[0] == wanted) return id_of(e[2]);
  }
  if (!wanted_id)
    return fail(Errc::not_found, "unable to find group {}: no matching entries in group file",
                wanted);
  return id_of(wanted);
}

// Of a user given by number, whose other fields are not asked for.
std::string home_of(std::uint32_t uid, std::string_view passwd) {
  for (const auto& e : entries(passwd, 6))
    if (number(e[2]) == uid && !e[5].empty()) return std::string(e[5]);
  return ResolvedUser{}.home;
}

std::string read_in_root(const UniqueFd& root, const std::string& path) {
  const auto file = open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  return file ? read_all(*file, kUserFileLimit).value_or("") : "";
}

}  // namespace

Result<ResolvedUser> lookup_user(std::string_view user, std::string_view passwd,
                                 std::string_view group) {
  const auto colon = user.find(':');
  const std::string_view name = user.substr(0, colon);
  const std::string_view wanted_group =
      colon == std::string_view::npos ? std::string_view{} : user.substr(colon + 1);
  const auto wanted_id = number(name);

  ResolvedUser out;
  std::string_view found_name;
  bool found = false;
  for (const auto& e : entries(passwd, 4)) {
    // A number is always an id, even where somebody is called so.
    const bool match = name.empty() ? number(e[2]) == 0
                       : wanted_id  ? number(e[2]) == wanted_id
                                    : e[0] == name;
    if (!match) continue;
    found = true;
    found_name = e[0];
    TRY(out.uid, id_of(e[2]));
    TRY(out.gid, id_of(e[3]));
    if (e.size() > 5 && !e[5].empty()) out.home = e[5];
    break;
  }
  if (!found && !name.empty()) {
    if (!wanted_id)
      return fail(Errc::not_found, "unable to find user {}: no matching entries in passwd file",
                  name);
    TRY(out.uid, id_of(name));
  }
  if (!wanted_group.empty()) {
    TRY(out.gid, lookup_group(wanted_group, group));
    return out;
  }
  if (found_name.empty()) return out;
  for (const auto& e : entries(group, 4)) {
    const auto members = split(e[3], ',');
    if (std::ranges::find(members, found_name) == members.end()) continue;
    TRY(const auto id, id_of(e[2]));
    out.groups.push_back(id);
  }
  return out;
}

Result<std::uint32_t> lookup_additional_group(std::string_view wanted, std::string_view group) {
  for (const auto& e : entries(group, 3))
    if (e[0] == wanted) return id_of(e[2]);
  if (!number(wanted)) return fail(Errc::not_found, "Unable to find group {}", wanted);
  return id_of(wanted);
}

Result<ResolvedUser> resolve_user(const oci::User& user, const UniqueFd& root) {
  const std::string passwd = read_in_root(root, "/etc/passwd");
  const bool needs_groups = !user.username.empty() || !user.additional_groups.empty();
  const std::string group = needs_groups ? read_in_root(root, "/etc/group") : std::string();
  ResolvedUser out;
  if (user.username.empty()) {
    CHECK(in_range(user.uid));
    CHECK(in_range(user.gid));
    out = ResolvedUser{user.uid, user.gid, {}, home_of(user.uid, passwd)};
  } else {
    TRY(out, lookup_user(user.username, passwd, group));
    // As Docker does: a process that gives up its primary group keeps no right by it alone, and one
    // that is denied something by it stays denied.
    if (std::ranges::find(out.groups, out.gid) == out.groups.end())
      out.groups.insert(out.groups.begin(), out.gid);
  }
  auto added = user.additional_gids;
  for (const auto& name : user.additional_groups) {
    TRY(const auto id, lookup_additional_group(name, group));
    added.push_back(id);
  }
  for (const auto g : added) CHECK(in_range(g));
  for (const auto g : added)
    if (std::ranges::find(out.groups, g) == out.groups.end()) out.groups.push_back(g);
  return out;
}

}  // namespace coracle::runtime
