// Images, with the rules across areas: an image that containers use stays, and who is told.
#pragma once

#include <string>
#include <vector>

#include "engine/context.hpp"
#include "engine/face/images.hpp"

namespace coracle {

class Images final : public face::Images {
 public:
  explicit Images(Context& context) : context_(context) {}

  [[nodiscard]] Result<std::vector<storage::Image>> list(const Filters& filters,
                                                         bool all) const override;
  [[nodiscard]] Result<storage::Image> find(const std::string& name) const override;
  [[nodiscard]] std::size_t containers_of(const std::string& image_id) const override;
  // By a container that was made of it, or has it mounted (--mount type=image).
  [[nodiscard]] bool is_used(const std::string& image_id) const;
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
  void announce_imported(const storage::Image& image);
  struct Users {
    const Container* running = nullptr;
    const Container* stopped = nullptr;
  };
  [[nodiscard]] Users users_of(const std::string& image_id) const;
  [[nodiscard]] static Result<> may_remove(const storage::Image& image, const Users& users,
                                           const std::string& name, bool force);
  Context& context_;
};

}  // namespace coracle
