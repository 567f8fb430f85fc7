// The files of a container: `docker cp` and `docker export` (archive.cpp), `docker commit` and
// `docker diff`, what it has made of its image (commit.cpp).
//
// A copy lasts as long as its client likes, so it holds no lock, only while it begins. It is a use
// of the container's layer instead (layer_use), which a removal ends, and, when it is in its way, a
// start. It ends with the coroutine that waits for it, and then leaves what it has written.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/context.hpp"
#include "engine/face/container_files.hpp"
#include "engine/lifecycle/lifecycle.hpp"

namespace coracle {

class Files final : public face::Files {
 public:
  Files(Context& context, Lifecycle& life) : context_(context), life_(life) {}

  Task<PathStat> stat_path(std::string name, std::string path) override;
  Task<> copy_out(std::string name, std::string path, UniqueFd to,
                  std::function<void(const PathStat&)> told) override;
  Task<> copy_in(std::string name, std::string path, CopyInOptions options, UniqueFd from) override;
  Task<std::vector<storage::Change>> changes(std::string name) override;
  Task<> export_container(std::string name, UniqueFd to) override;
  Task<std::string> commit(std::string name, CommitRequest request) override;

 private:
  Context& context_;
  Lifecycle& life_;
};

}  // namespace coracle
