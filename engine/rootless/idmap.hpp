// Ids inside and outside of the user namespace. Container id 0 is the caller; 1 and up are the ids
// of the caller's ranges in /etc/subuid and /etc/subgid (or of what nsswitch.conf names), in their
// order. The map is a value; newuidmap and newgidmap (keeper.cpp) carry it out.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coracle::rootless {

struct IdRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool operator==(const IdRange&) const = default;
};

// One line of /proc/PID/uid_map. See user_namespaces(7).
struct IdMapping {
  std::uint64_t inside = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  bool operator==(const IdMapping&) const = default;
};
using IdMap = std::vector<IdMapping>;

// 0 -> own, 1.. -> the ranges. The kernel refuses a map that names an outside id twice, so what a
// range shares with `own` or with an earlier range is left out.
IdMap make_id_map(std::uint32_t own, const std::vector<IdRange>& ranges);

// PID INSIDE OUTSIDE COUNT …: the arguments of newuidmap(1) and newgidmap(1).
std::vector<std::string> helper_arguments(pid_t pid, const IdMap& map);

enum class IdKind : std::uint8_t { user, group };

struct Caller {
  std::string name;  // its number in digits when it has no name on this host
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};
Caller current_caller();

// The caller's ranges from libsubid; none is an ordinary answer.
std::vector<IdRange> ranges_of(const Caller& who, IdKind kind);

// "165536-231071": 65536 ids above 100000 that neither text (of /etc/subuid, /etc/subgid) gives to
// anyone; what usermod --add-subuids takes.
std::string propose_range(std::string_view subuid, std::string_view subgid);

// What newuidmap and newgidmap are to write, and what the user is to know about it.
struct MapPlan {
  IdMap users, groups;
  bool one_id = false;
  std::vector<std::string> warnings;  // each with its remedy
};

// What is asked of the host for a plan.
struct MapInput {
  Caller who;
  std::vector<IdRange> users, groups;  // who's ranges
  std::string subuid, subgid;          // /etc/subuid, /etc/subgid: to propose a range
};
MapInput ask_host();

// All ranges; with none for users or for groups one id, and a warning. Fewer ids than images use
// (65536) are a warning, too.
MapPlan plan_maps(const MapInput& in);
// One id, because of `reason`.
MapPlan plan_one_id(const Caller& who, const std::string& reason);

}  // namespace coracle::rootless
