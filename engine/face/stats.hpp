// What a container uses at a moment, and its processes, as values: `docker stats`, `docker top`.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/ident.hpp"

namespace coracle {

struct CpuUse {
  std::uint64_t total_ns = 0, user_ns = 0, kernel_ns = 0;  // of the container; never goes back
  std::uint64_t system_ns = 0;                             // of the host, all processors
  std::uint32_t online = 1;
  std::uint64_t periods = 0, throttled_periods = 0, throttled_ns = 0;  // of a cgroup alone
};

struct InterfaceUse {
  std::uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  std::uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};

struct DeviceUse {
  std::uint64_t major_number = 0, minor_number = 0;
  std::string op;  // read, write
  std::uint64_t bytes = 0;
};

struct StatsSample {
  Time at;
  CpuUse cpu;
  std::uint64_t memory = 0, memory_limit = 0;          // bytes; the host's memory when unlimited
  std::map<std::string, std::uint64_t> memory_detail;  // as a cgroup v2 names them
  std::uint64_t pids = 0;                              // tasks, as a cgroup counts
  std::optional<std::uint64_t> pids_limit;
  std::map<std::string, InterfaceUse> networks;  // by name; without lo
  std::vector<DeviceUse> block;
};

struct StatsView {
  std::string id, name;               // name without slash
  std::optional<StatsSample> sample;  // none: it does not run
  std::optional<StatsSample> before;  // the sample before this one
};

struct StatsOptions {
  bool stream = true;     // one a second; else one, made of two samples a second apart
  bool one_shot = false;  // without stream: at once, with one sample
};

// Ends (nullopt) when the container is removed or, without `stream`, after one.
class StatsStream {
 public:
  virtual ~StatsStream() = default;
  virtual Task<std::optional<StatsView>> next() = 0;
};

struct ProcessList {
  std::vector<std::string> titles;
  std::vector<std::vector<std::string>> rows;  // as many columns as titles
};

}  // namespace coracle
