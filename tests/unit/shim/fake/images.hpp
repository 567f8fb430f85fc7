// Images that a test has put in; what is loaded and saved is only counted.
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/face/images.hpp"
#include "tests/unit/shim/fake/happenings.hpp"

namespace coracle::test {

class FakeImages final : public face::Images {
 public:
  FakeImages(Workers& workers, Happenings& happenings)
      : workers_(workers), happenings_(happenings) {}

  std::map<std::string, storage::Image> all;                     // by name
  std::map<std::string, std::vector<std::string>> repositories;  // a name without a tag: its tags
  std::vector<storage::Progress> pull_lines;
  std::optional<Error> pull_error;
  bool pull_never_ends = false;
  std::optional<Error> load_error;
  std::size_t save_bytes = 1;

  std::vector<std::string> last_saved;
  std::string last;  // "rmi busybox:1 true"
  storage::Reference last_reference;
  storage::RegistryAuth last_auth;
  std::optional<storage::Platform> last_platform;
  std::atomic<std::size_t> loaded_bytes{0};
  std::atomic<bool> load_whole{false};

  [[nodiscard]] Result<std::vector<storage::Image>> list(const Filters& filters,
                                                         bool with_all) const override;
  [[nodiscard]] Result<storage::Image> find(const std::string& name) const override;
  [[nodiscard]] std::size_t containers_of(const std::string& image_id) const override;
  Task<> pull(storage::Reference ref, storage::RegistryAuth auth, storage::Platform platform,
              storage::ProgressSink progress) override;
  Task<std::vector<storage::Image>> load(UniqueFd from, std::optional<storage::Platform> wanted,
                                         storage::ProgressSink progress) override;
  Task<storage::Image> import(UniqueFd from, storage::ImportOptions options) override;
  Task<storage::Image> import_remote(storage::ImportOptions options,
                                     storage::ProgressSink progress) override;
  [[nodiscard]] Result<std::vector<std::string>> names_to_save(
      const std::vector<std::string>& asked) const override;
  Task<> save(std::vector<std::string> names, UniqueFd to) override;
  Task<> tag(std::string name, std::string repo, std::string tag) override;
  Task<storage::Removed> remove(std::string name, bool force) override;
  Task<> push(storage::Reference name, storage::RegistryAuth auth,
              std::optional<storage::Platform> platform, storage::ProgressSink progress) override;
  Task<storage::RemoteImage> look_up(storage::Reference name, storage::RegistryAuth auth) override;
  Task<std::vector<storage::SearchResult>> search(std::string term, int limit, Filters filters,
                                                  storage::RegistryAuth auth) override;
  Task<std::string> login(storage::RegistryAuth auth) override;

 private:
  Workers& workers_;
  Happenings& happenings_;
};

}  // namespace coracle::test
