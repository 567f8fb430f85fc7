// Where the entries of an archive go: the directories that their paths name, below a root that the
// archive's own links (or a container's) lead about in. A path without links is one openat2(2); one
// with links is walked here, component by component, so that what they cost is counted: a link to
// `a/a/a/…` through forty others makes 80,000 steps of one short name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::storage {

// A directory below the root.
struct Place {
  UniqueFd fd;       // O_PATH
  std::string path;  // without links: "usr/lib", "" for the root
};

class Places {
 public:
  static constexpr std::int64_t kSteps = 250'000, kStepsPerEntry = 32;
  static constexpr std::int64_t kMade = 10'000, kMadePerEntry = 8;
  // Makes the directory `name` in `at`, the place `path`, and opens it.
  //   hidden  there is a whiteout, which it replaces
  using Make = std::function<Result<UniqueFd>(const UniqueFd& at, const std::string& name,
                                              const std::string& path, bool hidden)>;
  // The root must outlive it.
  Places(const UniqueFd& root, Make make) : root_(root), make_(std::move(make)) {}

  // Another entry has come: what links and missing parents may cost grows with their number.
  void next_entry();
  //   errors  not_found, invalid_argument (no directory; too many links), the file system's
  Result<Place> open(const std::string& path);
  // The same; what is missing of the path itself (not of what a link names) is made.
  Result<Place> open_or_make(const std::string& path);
  // A place's directory, by its path without links.   flags  O_* besides O_DIRECTORY
  [[nodiscard]] Result<UniqueFd> open_plain(const std::string& path, int flags) const;

 private:
  struct Step {
    std::string name;
    bool of_link = false;
  };
  Result<Place> find(const std::string& path, bool make);
  Result<> walk_into(Place& here, std::vector<Step>& to_go, bool make);
  Result<> follow(const UniqueFd& link, Place& here, std::vector<Step>& to_go);
  Result<> make_in(Place& here, const std::string& name, bool hidden);
  Result<> go_up(Place& here);

  const UniqueFd& root_;
  Make make_;
  std::int64_t steps_ = kSteps, made_ = kMade;  // what is left
};

}  // namespace coracle::storage
