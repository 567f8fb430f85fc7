#include "engine/bundle/host_devices.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "engine/base/file.hpp"

namespace coracle {
namespace {

constexpr int kDeepestFolder = 3;  // /dev/bus/usb/001
constexpr std::array kLeftOut = {"console", "fd",     "full",   "hugepages", "mqueue", "null",
                                 "ptmx",    "pts",    "random", "shm",       "tty",    "urandom",
                                 "zero",    "stderr", "stdin",  "stdout",    "core"};

bool is_left_out(const std::string& name) {
  const bool terminal = name.starts_with("tty") && name.size() > 3 &&
                        std::isdigit(static_cast<unsigned char>(name[3])) != 0;
  return terminal || std::ranges::find(kLeftOut, name) != kLeftOut.end();
}

void collect(const std::string& directory, int depth, dev_t file_system,
             std::vector<std::string>& out) {
  const auto names = list_dir(directory);
  if (!names) return;
  for (const auto& name : *names) {
    if (depth == 0 && is_left_out(name)) continue;
    const std::string path = directory + "/" + name;
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) continue;
    if (S_ISDIR(st.st_mode) && st.st_dev == file_system && depth < kDeepestFolder) {
      collect(path, depth + 1, file_system, out);
    } else if ((S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) &&
               ::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK, AT_EACCESS) == 0) {
      out.push_back(path);
    }
  }
}

void collect_all(const std::string& directory, int depth, std::vector<std::string>& out) {
  const auto names = list_dir(directory);
  if (!names) return;
  for (const auto& name : *names) {
    const std::string path = directory + "/" + name;
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) continue;
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) out.push_back(path);
    if (S_ISDIR(st.st_mode) && depth < kDeepestFolder) collect_all(path, depth + 1, out);
  }
}

}  // namespace

std::vector<std::string> devices_below(const std::string& directory) {
  std::vector<std::string> out;
  collect_all(directory, 0, out);
  return out;
}

std::vector<std::string> host_devices() {
  std::vector<std::string> out;
  struct stat st {};
  if (::stat("/dev", &st) == 0) collect("/dev", 0, st.st_dev, out);
  return out;
}

}  // namespace coracle
