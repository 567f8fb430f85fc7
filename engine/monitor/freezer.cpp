#include "engine/monitor/freezer.hpp"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>

#include "engine/base/file.hpp"
#include "engine/monitor/oom.hpp"

namespace coracle::monitor {
namespace {

using Clock = std::chrono::steady_clock;

void rest() {
  const timespec step{0, 500'000};
  ::nanosleep(&step, nullptr);
}

enum class Activity {
  gone,     // a zombie, or not there
  stopped,  // each thread
  waiting,  // not all stopped, but the others cannot be interrupted
  running,
};

// The fields of a stat from the third on; the second may hold anything, but ends with the last ")".
std::string fields_of(const std::string& stat) {
  const auto text = read_file(stat);
  const auto end = text ? text->rfind(')') : std::string::npos;
  return end != std::string::npos && end + 2 < text->size() ? text->substr(end + 2) : "X 0";
}

char state_of(pid_t pid, const std::string& thread) {
  return fields_of(fmt::format("/proc/{}/task/{}/stat", pid, thread))[0];
}

pid_t parent_of(pid_t pid) {
  return static_cast<pid_t>(std::atoi(fields_of(fmt::format("/proc/{}/stat", pid)).c_str() + 1));
}

Activity activity_of(pid_t pid) {
  const auto threads = list_dir(fmt::format("/proc/{}/task", pid));
  if (!threads) return Activity::gone;
  auto all = Activity::gone;
  for (const auto& thread : *threads) {
    auto one = Activity::running;
    switch (state_of(pid, thread)) {
      case 'Z':
      case 'X': one = Activity::gone; break;
      case 'T':
      case 't': one = Activity::stopped; break;
      case 'D': one = Activity::waiting; break;
      default: break;
    }
    all = std::max(all, one);
  }
  return all;
}

std::vector<pid_t> processes(const ProcessTree& tree, const std::vector<pid_t>& helpers) {
  auto all = tree.all();
  std::erase_if(all, [&](pid_t pid) { return std::ranges::find(helpers, pid) != helpers.end(); });
  return all;
}

}  // namespace

Freezer::Freezer(const Pidfd& init) {
  const auto dir = own_cgroup_dir(init.pid());
  if (!dir.empty() && ::access((dir + "/cgroup.freeze").c_str(), W_OK) == 0) cgroup_ = dir;
}

Result<> Freezer::freeze(const ProcessTree& tree, const std::vector<pid_t>& helpers) {
  return cgroup_.empty() ? stop_all(tree, helpers) : write_cgroup(true);
}

Result<> Freezer::thaw(const ProcessTree& tree, const std::vector<pid_t>& helpers) {
  if (!cgroup_.empty()) return write_cgroup(false);
  continue_all(tree, helpers);
  return {};
}

// --- by the kernel's freezer. See cgroups(7), cgroup.freeze and cgroup.events.

Result<> Freezer::write_cgroup(bool frozen) const {
  const auto write = [&](const char* value) -> Result<> {
    const auto path = cgroup_ + "/cgroup.freeze";
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return sys_error("open {}", path);
    return write_all(file, value);
  };
  CHECK(write(frozen ? "1" : "0"));
  const char* const wanted = frozen ? "frozen 1" : "frozen 0";
  for (const auto end = Clock::now() + std::chrono::milliseconds(kLimit_ms); Clock::now() < end;) {
    const auto events = read_file(cgroup_ + "/cgroup.events");
    if (!events) return std::unexpected(events.error());
    if (events->find(wanted) != std::string::npos) return {};
    rest();
  }
  if (frozen) (void)write("0");
  return fail(Errc::internal, "the kernel did not {} the cgroup {} within {} ms",
              frozen ? "freeze" : "thaw", cgroup_, kLimit_ms);
}

// --- by signals

Result<> Freezer::stop_all(const ProcessTree& tree, const std::vector<pid_t>& helpers) {
  stopped_before_.clear();
  std::set<pid_t> told, before;
  for (const auto end = Clock::now() + std::chrono::milliseconds(kLimit_ms);;) {
    std::set<pid_t> now;
    // Told, but not standing yet, and whoever is below them: a shell whose child stops first may
    // still wake up for that, and takes it for job control.
    std::set<pid_t> moving;
    std::size_t alive = 0;
    pid_t runs = 0;
    for (const pid_t pid : processes(tree, helpers)) {
      now.insert(pid);
      const auto activity = activity_of(pid);
      if (activity == Activity::gone) continue;
      ++alive;
      if (activity == Activity::stopped) {
        if (!told.contains(pid)) stopped_before_.insert(pid);
        continue;
      }
      if (activity == Activity::waiting && told.contains(pid)) continue;
      runs = pid;
      const bool below_one_that_moves = moving.contains(parent_of(pid));
      moving.insert(pid);
      if (below_one_that_moves) continue;
      // It may have been continued from inside: whoever runs now was not stopped before.
      stopped_before_.erase(pid);
      tree.send(pid, SIGSTOP);
      told.insert(pid);
    }
    if (alive == 0) return fail(Errc::conflict, "pause: nothing of the container runs");
    if (runs == 0 && std::ranges::includes(before, now)) return {};
    if (Clock::now() > end) {
      continue_all(tree, helpers);
      return fail(Errc::internal,
                  "pause: not all processes could be stopped by SIGSTOP within {} ms (pid {} still "
                  "runs), all go on; this host has no cgroup freezer for the container",
                  kLimit_ms, runs);
    }
    before = runs == 0 ? std::move(now) : std::set<pid_t>();
    if (runs != 0) rest();
  }
}

void Freezer::continued(pid_t pid) {
  if (pid == 0) stopped_before_.clear();
  stopped_before_.erase(pid);
}

void Freezer::continue_all(const ProcessTree& tree, const std::vector<pid_t>& helpers) {
  auto all = processes(tree, helpers);
  std::ranges::reverse(all);
  for (const pid_t pid : all) {
    const auto activity = activity_of(pid);
    const bool still = activity == Activity::stopped || activity == Activity::waiting;
    if (still && !stopped_before_.contains(pid)) tree.send(pid, SIGCONT);
  }
  stopped_before_.clear();
}

}  // namespace coracle::monitor
