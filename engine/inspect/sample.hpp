// One reading of what a container uses. Where it has a cgroup v2 of its own, from there; else from
// /proc, summed over its processes:
//   cpu      utime and stime of those that live and, by cutime and cstime, of those that were
//            waited for; children of the monitor (exec) are in the monitor's own cutime. A sum can step
//            back when a process hands its time on between two readings: Sampler keeps it monotonic
//   memory   PSS (smaps_rollup), so that shared pages count once; above kPssLimit the resident set,
//            since a walk of large tables would hold the process up
//   block    /proc/PID/io, as of the device of our data root: the kernel does not tell which
//   network  the interfaces of the first process's network namespace
// Blocks: for a worker.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/face/stats.hpp"
#include "engine/inspect/processes.hpp"

namespace coracle {

constexpr std::uint64_t kPssLimit = std::uint64_t{256} << 20;

// A value, for a worker.
struct SampleOrder {
  ProcessTree tree;
  bool networks = true;  // the container has a network namespace that is worth reading
  std::uint64_t host_memory = 0;
  std::uint32_t cpus = 1;
  std::string data_root;  // stands for the device that is read and written
};

//   errors  not_found when the container has ended
Result<StatsSample> take_sample(const SampleOrder& order);
// What counts upwards does so: never below `before`.
void keep_monotonic(StatsSample& sample, const StatsSample& before);

// -- parsers of what the kernel prints; pure

struct ProcessUse {
  std::uint64_t user_ns = 0, kernel_ns = 0;                // with what it waited for
  std::uint64_t waited_user_ns = 0, waited_kernel_ns = 0;  // only what it waited for
  std::uint64_t threads = 0;
  std::uint64_t resident = 0;  // bytes
};
std::optional<ProcessUse> parse_stat(std::string_view text, std::uint64_t tick_ns,
                                     std::uint64_t page_size);
// "Key: 12 kB" and "key 12" lines, in bytes when there is a kB.
std::map<std::string, std::uint64_t> parse_fields(std::string_view text);
// /proc/PID/net/dev, without lo.
std::map<std::string, InterfaceUse> parse_net_dev(std::string_view text);
// The first line of /proc/stat.
std::uint64_t parse_system_ns(std::string_view text, std::uint64_t tick_ns);
// io.stat of a cgroup.
std::vector<DeviceUse> parse_io_stat(std::string_view text);

}  // namespace coracle
