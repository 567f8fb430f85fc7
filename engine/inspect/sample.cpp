#include "engine/inspect/sample.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/base/file.hpp"
#include "engine/base/text.hpp"

namespace coracle {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr const char* kCgroups = "/sys/fs/cgroup";

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string proc(pid_t pid, const char* name) { return fmt::format("/proc/{}/{}", pid, name); }

std::uint64_t get(const std::map<std::string, std::uint64_t>& fields, const char* key) {
  const auto found = fields.find(key);
  return found == fields.end() ? 0 : found->second;
}

std::uint64_t tick_ns() { return kSecond / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)); }
std::uint64_t page_size() { return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)); }

std::optional<ProcessUse> use_of(pid_t pid) {
  const auto text = read_file(proc(pid, "stat"));
  if (!text) return std::nullopt;
  return parse_stat(*text, tick_ns(), page_size());
}

void add_memory(pid_t pid, std::uint64_t resident, StatsSample& sample) {
  auto& detail = sample.memory_detail;
  if (resident <= kPssLimit) {
    if (const auto text = read_file(proc(pid, "smaps_rollup")); text && !text->empty()) {
      const auto fields = parse_fields(*text);
      sample.memory += get(fields, "Pss");
      detail["anon"] += get(fields, "Pss_Anon");
      detail["file_mapped"] += get(fields, "Pss_File");
      detail["shmem"] += get(fields, "Pss_Shmem");
      return;
    }
  }
  sample.memory += resident;
  const auto text = read_file(proc(pid, "status"));
  if (!text) return;
  const auto fields = parse_fields(*text);
  detail["anon"] += get(fields, "RssAnon");
  detail["file_mapped"] += get(fields, "RssFile");
  detail["shmem"] += get(fields, "RssShmem");
}

void set_block(const std::string& data_root, std::uint64_t read, std::uint64_t written,
               StatsSample& sample) {
  struct stat st {};
  if (::stat(data_root.c_str(), &st) != 0) return;
  sample.block = {{::major(st.st_dev), ::minor(st.st_dev), "read", read},
                  {::major(st.st_dev), ::minor(st.st_dev), "write", written}};
}

void sum_processes(const SampleOrder& order, const std::vector<pid_t>& pids, StatsSample& sample) {
  std::uint64_t read = 0, written = 0;
  bool has_io = false;
  const auto add_io = [&](pid_t pid) {
    const auto text = read_file(proc(pid, "io"));
    if (!text) return;
    const auto fields = parse_fields(*text);
    read += get(fields, "read_bytes");
    written += get(fields, "write_bytes");
    has_io = true;
  };
  for (const pid_t pid : pids) {
    const auto use = use_of(pid);
    if (!use) continue;  // it has ended meanwhile
    sample.cpu.user_ns += use->user_ns;
    sample.cpu.kernel_ns += use->kernel_ns;
    sample.pids += use->threads;
    add_memory(pid, use->resident, sample);
    add_io(pid);
  }
  // Execs that have ended.
  if (const auto monitor = use_of(order.tree.monitor.pid)) {
    sample.cpu.user_ns += monitor->waited_user_ns;
    sample.cpu.kernel_ns += monitor->waited_kernel_ns;
  }
  sample.cpu.total_ns = sample.cpu.user_ns + sample.cpu.kernel_ns;
  sample.memory_limit = order.host_memory;
  if (has_io) set_block(order.data_root, read, written, sample);
}

// "0::/path" of cgroups(7). "" without a cgroup v2.
std::string cgroup_of(const std::string& proc_dir) {
  const auto text = read_file(proc_dir + "/cgroup");
  if (!text) return "";
  for (const auto line : lines_of(*text)) {
    if (line.starts_with("0::")) return std::string(line.substr(3));
  }
  return "";
}

// The directory of the container's own cgroup; "" when it is in ours.
std::string own_cgroup(pid_t init) {
  const auto theirs = cgroup_of(fmt::format("/proc/{}", init));
  if (theirs.empty() || theirs == "/" || theirs == cgroup_of("/proc/self")) return "";
  const auto dir = kCgroups + theirs;
  return exists(dir + "/cpu.stat") && exists(dir + "/memory.current") ? dir : "";
}

std::optional<std::uint64_t> limit_in(const std::string& path) {
  const auto text = read_file(path);
  if (!text || text->starts_with("max")) return std::nullopt;
  return number(*text);
}

bool read_cgroup(const std::string& dir, const SampleOrder& order, StatsSample& sample) {
  const auto cpu = read_file(dir + "/cpu.stat");
  const auto memory = read_file(dir + "/memory.current");
  if (!cpu || !memory) return false;
  const auto fields = parse_fields(*cpu);
  constexpr std::uint64_t kMicro = 1000;
  sample.cpu.total_ns = get(fields, "usage_usec") * kMicro;
  sample.cpu.user_ns = get(fields, "user_usec") * kMicro;
  sample.cpu.kernel_ns = get(fields, "system_usec") * kMicro;
  sample.cpu.periods = get(fields, "nr_periods");
  sample.cpu.throttled_periods = get(fields, "nr_throttled");
  sample.cpu.throttled_ns = get(fields, "throttled_usec") * kMicro;
  sample.memory = number(*memory);
  sample.memory_limit = limit_in(dir + "/memory.max").value_or(order.host_memory);
  if (const auto text = read_file(dir + "/memory.stat")) sample.memory_detail = parse_fields(*text);
  if (const auto text = read_file(dir + "/pids.current")) sample.pids = number(*text);
  sample.pids_limit = limit_in(dir + "/pids.max");
  if (const auto text = read_file(dir + "/io.stat")) sample.block = parse_io_stat(*text);
  return true;
}

}  // namespace

std::optional<ProcessUse> parse_stat(std::string_view text, std::uint64_t tick_ns,
                                     std::uint64_t page_size) {
  // The second field may hold blanks and brackets: what follows its last bracket counts. See
  // proc_pid_stat(5); here 0 is the third field, the state.
  const auto close = text.rfind(')');
  if (close == std::string_view::npos) return std::nullopt;
  const auto fields = words_of(text.substr(close + 1));
  if (fields.size() < 22) return std::nullopt;
  ProcessUse use;
  use.waited_user_ns = number(fields[13]) * tick_ns;
  use.waited_kernel_ns = number(fields[14]) * tick_ns;
  use.user_ns = number(fields[11]) * tick_ns + use.waited_user_ns;
  use.kernel_ns = number(fields[12]) * tick_ns + use.waited_kernel_ns;
  use.threads = number(fields[17]);
  use.resident = number(fields[21]) * page_size;
  return use;
}

std::map<std::string, std::uint64_t> parse_fields(std::string_view text) {
  std::map<std::string, std::uint64_t> fields;
  for (const auto line : lines_of(text)) {
    const auto words = words_of(line);
    if (words.size() < 2) continue;
    auto key = words[0];
    if (key.ends_with(':')) key.remove_suffix(1);
    const bool kilo = words.size() > 2 && words[2] == "kB";
    fields[std::string(key)] = number(words[1]) * (kilo ? 1024 : 1);
  }
  return fields;
}

std::map<std::string, InterfaceUse> parse_net_dev(std::string_view text) {
  std::map<std::string, InterfaceUse> all;
  for (const auto line : lines_of(text)) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;  // the two head lines
    const auto name = words_of(line.substr(0, colon));
    const auto n = words_of(line.substr(colon + 1));
    if (name.empty() || name[0] == "lo" || n.size() < 12) continue;
    all[std::string(name[0])] =
        InterfaceUse{number(n[0]), number(n[1]), number(n[2]),  number(n[3]),
                     number(n[8]), number(n[9]), number(n[10]), number(n[11])};
  }
  return all;
}

std::uint64_t parse_system_ns(std::string_view text, std::uint64_t tick_ns) {
  const auto words = words_of(text.substr(0, text.find('\n')));
  std::uint64_t ticks = 0;
  // user nice system idle iowait irq softirq steal; guest time is in user already.
  for (std::size_t i = 1; i < std::min<std::size_t>(words.size(), 9); ++i)
    ticks += number(words[i]);
  return ticks * tick_ns;
}

std::vector<DeviceUse> parse_io_stat(std::string_view text) {
  std::vector<DeviceUse> all;
  for (const auto line : lines_of(text)) {
    const auto words = words_of(line);
    if (words.empty()) continue;
    const auto colon = words[0].find(':');
    if (colon == std::string_view::npos) continue;
    const auto major_number = number(words[0].substr(0, colon));
    const auto minor_number = number(words[0].substr(colon + 1));
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (words[i].starts_with("rbytes="))
        all.push_back({major_number, minor_number, "read", number(words[i].substr(7))});
      if (words[i].starts_with("wbytes="))
        all.push_back({major_number, minor_number, "write", number(words[i].substr(7))});
    }
  }
  return all;
}

Result<StatsSample> take_sample(const SampleOrder& order) {
  StatsSample sample;
  sample.at = now();
  sample.cpu.online = order.cpus;
  TRY(const auto pids, processes_of(order.tree));
  const auto cgroup = own_cgroup(order.tree.init.pid);
  if (cgroup.empty() || !read_cgroup(cgroup, order, sample)) sum_processes(order, pids, sample);
  if (const auto text = read_file("/proc/stat"))
    sample.cpu.system_ns = parse_system_ns(*text, tick_ns());
  if (order.networks) {
    if (const auto text = read_file(proc(order.tree.init.pid, "net/dev")))
      sample.networks = parse_net_dev(*text);
  }
  return sample;
}

void keep_monotonic(StatsSample& sample, const StatsSample& before) {
  auto& cpu = sample.cpu;
  cpu.user_ns = std::max(cpu.user_ns, before.cpu.user_ns);
  cpu.kernel_ns = std::max(cpu.kernel_ns, before.cpu.kernel_ns);
  cpu.total_ns = std::max(cpu.total_ns, before.cpu.total_ns);
  cpu.system_ns = std::max(cpu.system_ns, before.cpu.system_ns);
  for (std::size_t i = 0; i < std::min(sample.block.size(), before.block.size()); ++i)
    sample.block[i].bytes = std::max(sample.block[i].bytes, before.block[i].bytes);
}

}  // namespace coracle
