#include "storage/snapshots/same_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/at.hpp"
#include "engine/base/file.hpp"
#include "engine/base/path.hpp"

namespace coracle::storage {
namespace {

using Attributes = std::map<std::string, std::string>;

// What an unpacker sets; labels of security modules belong to their place.
bool is_told(std::string_view name) {
  return name.starts_with("user.") || name == "security.capability";
}

Result<Attributes> attributes_of(const UniqueFd& file) {
  Attributes out;
  const std::string path = proc_path(file);
  std::string names(std::size_t{64} << 10, 0);  // XATTR_LIST_MAX
  const ssize_t size = ::listxattr(path.c_str(), names.data(), names.size());
  if (size < 0 && errno == EOPNOTSUPP) return out;
  if (size < 0) return sys_error("list its attributes");
  names.resize(static_cast<std::size_t>(size));
  std::string value(std::size_t{64} << 10, 0);  // XATTR_SIZE_MAX
  for (std::size_t at = 0; at < names.size();) {
    const std::string name = names.c_str() + at;
    at += name.size() + 1;
    if (!is_told(name)) continue;
    const ssize_t n = ::getxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (n < 0) return sys_error("read its attribute {}", name);
    out[name] = value.substr(0, static_cast<std::size_t>(n));
  }
  return out;
}

Result<bool> have_same_content(const UniqueFd& a, const UniqueFd& b, Stop stop) {
  std::string one(std::size_t{128} << 10, 0);
  std::string other(one.size(), 0);
  for (off_t at = 0;;) {
    CHECK(go_on(stop));
    const ssize_t n = ::pread(a.get(), one.data(), one.size(), at);
    if (n < 0) return sys_error("read it");
    ssize_t m = 0;
    while (m < n) {
      const ssize_t got =
          ::pread(b.get(), other.data() + m, static_cast<std::size_t>(n - m), at + m);
      if (got < 0) return sys_error("read it");
      if (got == 0) return false;
      m += got;
    }
    if (n == 0) return true;
    const auto length = static_cast<std::size_t>(n);
    if (std::string_view(one.data(), length) != std::string_view(other.data(), length))
      return false;
    at += n;
  }
}

std::string target_of(const UniqueFd& dir, const std::string& name) {
  std::array<char, PATH_MAX> text{};
  const ssize_t n = at::read_link(dir, name, text.data(), text.size());
  return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(n, 0))};
}

class Comparer final : public Visitor {
 public:
  Comparer(Way& way, Stop stop) : way_(way), stop_(stop) {}
  [[nodiscard]] const std::string& found() const { return found_; }

  Result<> list(Piece& piece) override {
    if (!found_.empty()) return {};
    const auto add = [&piece](std::string_view name, unsigned char type) { piece.add(name, type); };
    for (std::size_t tree = 0; tree < way_.trees(); ++tree) {
      if (const auto* dir = way_.dir(tree)) CHECK(read_dir(*dir, add));
    }
    return {};
  }

  Result<bool> entry(const DirEntry& entry) override {
    if (!found_.empty()) return false;
    const auto& name = entry.name;
    const UniqueFd& kept = *way_.dir(0);
    const UniqueFd& fresh = *way_.dir(1);
    struct stat a {};
    struct stat b {};
    const bool has_a = at::look(kept, name, a) == 0;
    if (!has_a && errno != ENOENT) return sys_error("look at {}", way_.shown(name));
    const bool has_b = at::look(fresh, name, b) == 0;
    if (!has_b && errno != ENOENT) return sys_error("look at {}", way_.shown(name));
    if (!has_a) return differs(name, "it is missing");
    if (!has_b) return differs(name, "it does not belong there");
    if (const char* what = compare(a, b)) return differs(name, what);
    if (S_ISDIR(a.st_mode)) return go_down(name, kept, fresh);
    if (S_ISLNK(a.st_mode) && target_of(kept, name) != target_of(fresh, name))
      return differs(name, "its target");
    if (!S_ISREG(a.st_mode)) return false;
    auto same = compare_files(name, kept, fresh, a.st_size > 0);
    if (!same) return std::unexpected(same.error().within("{}", way_.shown(name)));
    return *same == nullptr ? Result<bool>(false) : differs(name, *same);
  }

 private:
  Result<bool> differs(const std::string& name, const char* what) {
    found_ = way_.shown(name) + ": " + what;
    return false;
  }

  static const char* compare(const struct stat& a, const struct stat& b) {
    if ((a.st_mode & S_IFMT) != (b.st_mode & S_IFMT)) return "its kind";
    if (a.st_uid != b.st_uid || a.st_gid != b.st_gid) return "its owner";
    if (!S_ISLNK(a.st_mode) && a.st_mode != b.st_mode) return "its mode";
    if (S_ISREG(a.st_mode) && a.st_size != b.st_size) return "its size";
    if (S_ISCHR(a.st_mode) && a.st_rdev != b.st_rdev) return "its device";
    // A directory that no archive names is as old as its unpacking, a whiteout too.
    if (S_ISREG(a.st_mode) && a.st_mtim.tv_sec != b.st_mtim.tv_sec) return "its time";
    return nullptr;
  }

  Result<bool> go_down(const std::string& name, const UniqueFd& kept, const UniqueFd& fresh) {
    std::vector<UniqueFd> dirs;
    for (const auto* parent : {&kept, &fresh}) {
      dirs.push_back(at::open_dir(*parent, name));
      if (!dirs.back()) return sys_error("open {}", way_.shown(name));
    }
    TRY(const auto a, attributes_of(dirs[0]));
    TRY(const auto b, attributes_of(dirs[1]));
    if (a != b) return differs(name, "its attributes");
    CHECK(way_.down(name, std::move(dirs)));
    return true;
  }

  [[nodiscard]] Result<const char*> compare_files(const std::string& name, const UniqueFd& kept,
                                                  const UniqueFd& fresh, bool has_content) const {
    const auto a = at::open(kept, name, O_RDONLY | O_NONBLOCK);
    if (!a) return sys_error("open it");
    const auto b = at::open(fresh, name, O_RDONLY | O_NONBLOCK);
    if (!b) return sys_error("open it");
    TRY(const auto of_a, attributes_of(a));
    TRY(const auto of_b, attributes_of(b));
    if (of_a != of_b) return "its attributes";
    if (!has_content) return nullptr;
    TRY(const auto same, have_same_content(a, b, stop_));
    return same ? nullptr : "its content";
  }

  Way& way_;
  Stop stop_;
  std::string found_;
};

}  // namespace

Result<std::string> difference(const UniqueFd& kept, const UniqueFd& fresh, Stop stop) {
  std::vector<UniqueFd> tops;
  for (const auto* top : {&kept, &fresh}) {
    tops.push_back(at::reopen(*top));
    if (!tops.back()) return sys_error("open a tree");
  }
  Way way(std::move(tops));
  Comparer comparer(way, stop);
  CHECK(walk(way, comparer, stop));
  return comparer.found();
}

}  // namespace coracle::storage
