// A container without files, into which an archive may be copied.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/face/container_files.hpp"

namespace coracle::test {

class FakeFiles final : public face::Files {
 public:
  explicit FakeFiles(Workers& workers) : workers_(workers) {}

  std::size_t copy_takes = 0;  // bytes of an archive after which a copy in is content
  std::string copied;          // by the last one

  Task<PathStat> stat_path(std::string name, std::string path) override;
  Task<> copy_out(std::string name, std::string path, UniqueFd to,
                  std::function<void(const PathStat&)> told) override;
  Task<> copy_in(std::string name, std::string path, CopyInOptions options, UniqueFd from) override;
  Task<std::vector<storage::Change>> changes(std::string name) override;
  Task<> export_container(std::string name, UniqueFd to) override;
  Task<std::string> commit(std::string name, CommitRequest request) override;

 private:
  Workers& workers_;
};

}  // namespace coracle::test
