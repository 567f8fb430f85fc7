#include "engine/runtime/mounts/copy_up.hpp"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include <limits.h>

#include "engine/base/at.hpp"
#include "engine/base/tree/walk.hpp"

namespace coracle::runtime {
namespace {

Result<> copy_link(const UniqueFd& from, const std::string& name, const UniqueFd& to) {
  std::array<char, PATH_MAX> target{};
  const ssize_t n = at::read_link(from, name, target.data(), target.size() - 1);
  if (n < 0 || at::make_link(target.data(), to, name) != 0) return sys_error("copy link");
  return {};
}

Result<> copy_file(const UniqueFd& from, const std::string& name, const UniqueFd& to,
                   const struct stat& st) {
  const UniqueFd in = at::open(from, name, O_RDONLY | O_NONBLOCK);
  if (!in) return sys_error("read it");
  constexpr mode_t kNew = 0600;
  const UniqueFd out = at::open(to, name, O_WRONLY | O_CREAT | O_EXCL, kNew);
  if (!out) return sys_error("make it");
  constexpr std::size_t kAtOnce = std::size_t{1} << 20;
  for (;;) {
    const ssize_t n = ::sendfile(out.get(), in.get(), nullptr, kAtOnce);
    if (n == 0) break;
    if (n < 0 && errno != EINTR) return sys_error("copy it");
  }
  if (::fchown(out.get(), st.st_uid, st.st_gid) != 0) return sys_error("set its owner");
  if (::fchmod(out.get(), st.st_mode & ALLPERMS) != 0) return sys_error("set its mode");
  return {};
}

// The copy is the first tree of the way, the image's directory the second.
class CopyUp final : public Visitor {
 public:
  explicit CopyUp(Way& way) : way_(way) {}

  Result<> list(Piece& piece) override {
    TRY(const UniqueFd* from, here(1));
    return read_dir(*from, [&](auto name, auto type) { piece.add(name, type); });
  }

  Result<bool> entry(const DirEntry& e) override {
    auto done = copy(e.name);
    if (!done) return std::unexpected(done.error().within("copy {}", way_.shown(e.name)));
    return done;
  }

  // The directory that was made, now that all is in it. The top's are the mount's own.
  Result<> leave() override {
    if (way_.depth() == 0) return {};
    TRY(const UniqueFd* from, here(1));
    TRY(const UniqueFd* to, here(0));
    struct stat st {};
    if (::fstat(from->get(), &st) != 0) return sys_error("look at {}", way_.shown());
    if (::fchown(to->get(), st.st_uid, st.st_gid) != 0 ||
        ::fchmod(to->get(), st.st_mode & ALLPERMS) != 0)
      return sys_error("set owner and mode of {}", way_.shown());
    return {};
  }

 private:
  [[nodiscard]] Result<const UniqueFd*> here(std::size_t tree) const {
    const UniqueFd* dir = way_.dir(tree);
    if (dir == nullptr) return fail(Errc::conflict, "the directory was moved away");
    return dir;
  }

  Result<bool> copy(const std::string& name) {
    TRY(const UniqueFd* from, here(1));
    TRY(const UniqueFd* to, here(0));
    struct stat st {};
    if (at::look(*from, name, st) != 0) return sys_error("look at it");
    if (S_ISDIR(st.st_mode)) return directory(*from, *to, name);
    if (S_ISREG(st.st_mode)) CHECK(copy_file(*from, name, *to, st));
    if (!S_ISLNK(st.st_mode)) return false;
    CHECK(copy_link(*from, name, *to));
    if (at::give(*to, name, st.st_uid, st.st_gid) != 0) return sys_error("set its owner");
    return false;
  }

  Result<bool> directory(const UniqueFd& from, const UniqueFd& to, const std::string& name) {
    constexpr mode_t kNew = 0700;
    if (at::make_dir(to, name, kNew) != 0) return sys_error("make the directory");
    std::vector<UniqueFd> dirs;
    dirs.push_back(at::open_dir(to, name));
    dirs.push_back(at::open_dir(from, name));
    if (!dirs[0] || !dirs[1]) return sys_error("open the directory");
    CHECK(way_.down(name, std::move(dirs)));
    return true;
  }

  Way& way_;
};

}  // namespace

Result<> copy_up(const UniqueFd& from, const UniqueFd& to) {
  std::vector<UniqueFd> tops;
  tops.push_back(at::reopen(to));
  tops.push_back(at::reopen(from));
  if (!tops[0] || !tops[1]) return sys_error("read a directory of the image");
  Way way(std::move(tops), 1);
  CopyUp visitor(way);
  return walk(way, visitor);
}

}  // namespace coracle::runtime
