#include "tests/fuzz/playground.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "engine/base/file.hpp"
#include "engine/base/path.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

struct stat look(const UniqueFd& fd) {
  struct stat st {};
  MUST(::fstat(fd.get(), &st) == 0);
  return st;
}

bool same(const struct stat& a, const struct stat& b) {
  return a.st_mode == b.st_mode && a.st_nlink == b.st_nlink && a.st_size == b.st_size &&
         a.st_uid == b.st_uid && a.st_gid == b.st_gid && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec && a.st_ctim.tv_sec == b.st_ctim.tv_sec &&
         a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

// What runs that ended by a finding have left.
void remove_old(const std::string& folder, const std::string& prefix) {
  for (const auto& name : list_dir(folder).value_or(std::vector<std::string>{})) {
    if (!name.starts_with(prefix)) continue;
    const int pid = std::atoi(name.c_str() + prefix.size());
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH)
      (void)remove_tree(join_path(folder, name));
  }
}

}  // namespace

Playground::Playground(const std::string& target) {
  const std::string folder = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  const std::string prefix = "coracle-fuzz-" + target + "-" + std::to_string(::getuid()) + "-";
  remove_old(folder, prefix);
  path_ = join_path(folder, prefix + std::to_string(::getpid()));
  MUST(make_dirs(path_ + "/nest").has_value());
  MUST(make_dirs(path_ + "/outside").has_value());
  MUST(write_file_atomic(path_ + "/outside/file", "safe", 0644, Durability::unsynced).has_value());
  nest_ = open_dir(path_ + "/nest").value();
  outside_ = open_dir(path_ + "/outside").value();
  file_.reset(::open((path_ + "/outside/file").c_str(), O_PATH | O_CLOEXEC));
  outside_was_ = look(outside_);
  file_was_ = look(file_);
}

Playground::~Playground() { (void)remove_tree(path_); }

const UniqueFd& Playground::fresh_root() {
  root_.reset();
  MUST(remove_tree(path_ + "/nest/root").has_value());
  MUST(::mkdirat(nest_.get(), "root", 0755) == 0);
  root_.reset(::openat(nest_.get(), "root", O_PATH | O_DIRECTORY | O_CLOEXEC));
  nest_was_ = look(nest_);
  return root_;
}

void Playground::check_outside() const {
  MUST(same(look(nest_), nest_was_));
  MUST(same(look(outside_), outside_was_));
  MUST(same(look(file_), file_was_));
}

}  // namespace coracle::fuzz
