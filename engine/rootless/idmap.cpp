#include "engine/rootless/idmap.hpp"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include <fmt/core.h>

#include "engine/base/file.hpp"

extern "C" {
#include <shadow/subid.h>
}

namespace coracle::rootless {
namespace {

constexpr std::uint64_t kIds = 0xffffffff;  // 2^32 - 1 is "no id"
constexpr std::size_t kMaxLines = 340;      // See user_namespaces(7).
constexpr std::uint64_t kUsual = 65536;     // ids that images are made with

// What of `pieces` is not in `taken`.
std::vector<IdRange> without(const std::vector<IdRange>& pieces, const IdRange& taken) {
  std::vector<IdRange> out;
  const std::uint64_t taken_end = taken.first + taken.count;
  for (const auto& p : pieces) {
    const std::uint64_t end = p.first + p.count;
    if (taken_end <= p.first || end <= taken.first) {
      out.push_back(p);
      continue;
    }
    if (p.first < taken.first) out.push_back({p.first, taken.first - p.first});
    if (taken_end < end) out.push_back({taken_end, end - taken_end});
  }
  return out;
}

std::vector<IdRange> ask_libsubid(const std::string& owner, IdKind kind) {
  subid_range* found = nullptr;
  const int count = kind == IdKind::user ? ::subid_get_uid_ranges(owner.c_str(), &found)
                                         : ::subid_get_gid_ranges(owner.c_str(), &found);
  std::vector<IdRange> out;
  for (int i = 0; i < count; ++i) out.push_back({found[i].start, found[i].count});
  std::free(found);
  return out;
}

// The end of the highest range in a text of lines OWNER:FIRST:COUNT; lines of another form are
// passed over.
std::uint64_t highest_end(std::string_view text) {
  std::uint64_t highest = 0;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const auto first_colon = line.find(':');
    const auto second_colon = line.find(':', first_colon + 1);
    if (first_colon == std::string_view::npos || second_colon == std::string_view::npos) continue;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    std::from_chars(line.data() + first_colon + 1, line.data() + second_colon, first);
    std::from_chars(line.data() + second_colon + 1, line.data() + line.size(), count);
    highest = std::max(highest, first + count);
  }
  return highest;
}

std::uint64_t mapped_ids(const IdMap& map) {
  std::uint64_t sum = 0;
  for (const auto& m : map) sum += m.count;
  return sum;
}

std::string remedy(const MapInput& in) {
  const auto range = propose_range(in.subuid, in.subgid);
  return fmt::format(
      "an administrator can add one with usermod --add-subuids {} --add-subgids {} {}", range,
      range, in.who.name);
}

}  // namespace

IdMap make_id_map(std::uint32_t own, const std::vector<IdRange>& ranges) {
  IdMap map{{0, own, 1}};
  std::uint64_t next = 1;
  std::vector<IdRange> taken{{own, 1}};
  for (const auto& range : ranges) {
    if (range.first >= kIds) continue;
    std::vector<IdRange> pieces{{range.first, std::min(range.count, kIds - range.first)}};
    for (const auto& t : taken) pieces = without(pieces, t);
    for (const auto& p : pieces) {
      const std::uint64_t count = std::min(p.count, kIds - next);
      if (count == 0 || map.size() == kMaxLines) continue;
      map.push_back({next, p.first, count});
      next += count;
    }
    taken.push_back(range);
  }
  return map;
}

std::vector<std::string> helper_arguments(pid_t pid, const IdMap& map) {
  std::vector<std::string> out{std::to_string(pid)};
  for (const auto& m : map) {
    out.push_back(std::to_string(m.inside));
    out.push_back(std::to_string(m.outside));
    out.push_back(std::to_string(m.count));
  }
  return out;
}

Caller current_caller() {
  Caller who{std::to_string(::geteuid()), ::geteuid(), ::getegid()};
  if (const passwd* entry = ::getpwuid(who.uid); entry != nullptr) who.name = entry->pw_name;
  return who;
}

std::vector<IdRange> ranges_of(const Caller& who, IdKind kind) {
  // Without a stream libsubid is silent: that there is no range is told by us, with the remedy.
  ::subid_init("coracled", nullptr);
  auto ranges = ask_libsubid(who.name, kind);
  // Both files may name the owner by number. See subuid(5).
  if (ranges.empty()) ranges = ask_libsubid(std::to_string(who.uid), kind);
  return ranges;
}

std::string propose_range(std::string_view subuid, std::string_view subgid) {
  constexpr std::uint64_t kLowest = 100000;
  const std::uint64_t first = std::max({kLowest, highest_end(subuid), highest_end(subgid)});
  return fmt::format("{}-{}", first, first + kUsual - 1);
}

MapInput ask_host() {
  auto who = current_caller();
  auto users = ranges_of(who, IdKind::user);
  auto groups = ranges_of(who, IdKind::group);
  return {std::move(who), std::move(users), std::move(groups),
          read_file("/etc/subuid").value_or(""), read_file("/etc/subgid").value_or("")};
}

MapPlan plan_maps(const MapInput& in) {
  for (const auto* kind : {"uid", "gid"}) {
    if (!(kind == std::string_view("uid") ? in.users : in.groups).empty()) continue;
    return plan_one_id(
        in.who, fmt::format("{} has no range in /etc/sub{}; {}", in.who.name, kind, remedy(in)));
  }
  MapPlan plan{make_id_map(in.who.uid, in.users), make_id_map(in.who.gid, in.groups), false, {}};
  const auto ids = std::min(mapped_ids(plan.users), mapped_ids(plan.groups));
  if (ids < kUsual) {
    plan.warnings.push_back(
        fmt::format("{} has {} ids, images with files of id {} and above do not run; {}",
                    in.who.name, ids, ids, remedy(in)));
  }
  return plan;
}

MapPlan plan_one_id(const Caller& who, const std::string& reason) {
  return {make_id_map(who.uid, {}),
          make_id_map(who.gid, {}),
          true,
          {fmt::format("only one id is mapped, images with files of several owners do not run: {}",
                       reason)}};
}

}  // namespace coracle::rootless
