#include "engine/base/process/members.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/dir.hpp"
#include "engine/base/file.hpp"

namespace coracle {
namespace {

constexpr std::array kKinds = {"mnt", "uts", "cgroup", "user"};
constexpr std::size_t kMostFiles = 8;

std::vector<pid_t> all_processes() {
  std::vector<pid_t> out;
  const DirStream dir(::opendir("/proc"));
  if (!dir) return out;
  while (const dirent* entry = ::readdir(dir.get())) {
    pid_t pid = 0;
    const char* const end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, pid).ptr == end && pid > 0) out.push_back(pid);
  }
  return out;
}

ino_t number_of(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? st.st_ino : 0;
}

}  // namespace

Result<OwnNamespaces> OwnNamespaces::of(const Pidfd& process) {
  OwnNamespaces out;
  for (const char* kind : kKinds) {
    const auto path = fmt::format("/proc/{}/ns/{}", process.pid(), kind);
    UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat st {};
    if (!file || ::fstat(file.get(), &st) != 0) return sys_error("open {}", path);
    if (st.st_ino == number_of(fmt::format("/proc/self/ns/{}", kind))) continue;
    out.files_.push_back(std::move(file));
    out.numbers_.push_back(st.st_ino);
  }
  // All of it was looked up by a number: it was this process's if that lives still.
  if (process.ended()) return fail(Errc::not_found, "process {} has ended", process.pid());
  return out;
}

Result<OwnNamespaces> OwnNamespaces::from(std::vector<UniqueFd> files) {
  if (files.size() > kMostFiles)
    return fail(Errc::invalid_argument, "{} namespaces of one container", files.size());
  OwnNamespaces out;
  for (auto& file : files) {
    struct stat st {};
    struct statfs fs {};
    if (::fstat(file.get(), &st) != 0 || ::fstatfs(file.get(), &fs) != 0 || fs.f_type != NSFS_MAGIC)
      return fail(Errc::invalid_argument, "a descriptor is no namespace");
    for (const char* kind : kKinds) {
      // Ours is nobody's own: we would be among those that are killed.
      if (st.st_ino == number_of(fmt::format("/proc/self/ns/{}", kind)))
        return fail(Errc::invalid_argument, "the {} namespace is ours", kind);
    }
    out.numbers_.push_back(st.st_ino);
    out.files_.push_back(std::move(file));
  }
  return out;
}

std::vector<int> OwnNamespaces::fds() const {
  std::vector<int> out;
  for (const auto& file : files_) out.push_back(file.get());
  return out;
}

OwnNamespaces::Seen OwnNamespaces::look_at(pid_t pid) const {
  const auto among = [&](const std::string& process) {
    bool lives = false;  // the dead have no namespaces any more, but for their user's
    bool found = false;
    for (const char* kind : kKinds) {
      const ino_t number = number_of(fmt::format("/proc/{}/ns/{}", process, kind));
      lives = lives || (number != 0 && std::string_view(kind) != "user");
      found = found || std::ranges::find(numbers_, number) != numbers_.end();
      if (lives && found) return Seen::member;
    }
    return !lives ? Seen::dead : found ? Seen::member : Seen::other;
  };
  const auto whole = among(std::to_string(pid));
  if (whole != Seen::dead) return whole;
  // Its first thread has ended; others may run on.
  auto seen = Seen::dead;
  const auto threads = list_dir(fmt::format("/proc/{}/task", pid));
  if (!threads) return seen;
  for (const auto& thread : *threads) {
    const auto one = among(fmt::format("{}/task/{}", pid, thread));
    if (one == Seen::member) return one;
    if (one == Seen::other) seen = one;
  }
  return seen;
}

bool OwnNamespaces::hold(pid_t pid) const { return look_at(pid) == Seen::member; }

Result<Pidfd> OwnNamespaces::open(pid_t pid) const {
  TRY(auto process, Pidfd::open(pid));
  // Asked after the descriptor is held: what lives still has had the number all the time.
  if (!hold(pid) || process.ended())
    return fail(Errc::not_found, "process {} is none of the container's", pid);
  return process;
}

std::vector<pid_t> OwnNamespaces::members() const {
  if (numbers_.empty()) return {};
  auto all = all_processes();
  std::erase_if(all, [&](pid_t pid) { return !hold(pid); });
  return all;
}

Result<> OwnNamespaces::end_members(std::chrono::milliseconds limit) const {
  constexpr long kStep_ns = 2'000'000;
  const auto end = std::chrono::steady_clock::now() + limit;
  for (Sweep sweep; !sweep.round(*this);) {
    if (std::chrono::steady_clock::now() >= end)
      return fail(Errc::internal, "processes of the container do not end");
    const timespec step{0, kStep_ns};
    ::nanosleep(&step, nullptr);
  }
  return {};
}

// First what was not on the last list: who forks all the time is caught only if one is quick.
bool Sweep::round(const OwnNamespaces& of) {
  constexpr int kQuietEnough = 20;  // where others come and go all the time
  if (of.empty()) return true;
  using Seen = OwnNamespaces::Seen;
  std::set<pid_t> settled;
  std::vector<pid_t> known;
  bool found = false;
  bool certain = true;
  const auto look = [&](pid_t pid) {
    const auto seen = of.look_at(pid);
    if (seen != Seen::member) {
      settled.insert(pid);
      return seen;
    }
    found = true;
    if (const auto process = of.open(pid)) (void)process->send_signal(SIGKILL);
    return seen;
  };
  for (const pid_t pid : all_processes()) {
    if (settled_.contains(pid)) {
      known.push_back(pid);
    } else if (look(pid) == Seen::dead) {
      certain = false;
    }
  }
  for (const pid_t pid : known) {
    if (found)
      settled.insert(pid);
    else
      (void)look(pid);
  }
  settled_ = std::move(settled);
  quiet_ = found ? 0 : quiet_ + 1;
  return !found && (certain || quiet_ >= kQuietEnough);
}

}  // namespace coracle
