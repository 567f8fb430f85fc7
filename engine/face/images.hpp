// Images, with the rules across areas: an image that containers use stays; events.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/face/filters.hpp"
#include "storage/content/progress.hpp"
#include "storage/images/image.hpp"
#include "storage/registry/credentials.hpp"
#include "storage/registry/remote_image.hpp"
#include "storage/registry/search_result.hpp"

namespace coracle::face {

class Images {
 public:
  virtual ~Images() = default;

  [[nodiscard]] virtual Result<std::vector<storage::Image>> list(const Filters& filters,
                                                                 bool all) const = 0;
  //   errors  not_found "No such image: X"
  [[nodiscard]] virtual Result<storage::Image> find(const std::string& name) const = 0;
  // How many containers were made of it.
  [[nodiscard]] virtual std::size_t containers_of(const std::string& image_id) const = 0;
  // A reference without a tag and digest means all tags that the repository has.
  virtual Task<> pull(storage::Reference ref, storage::RegistryAuth auth,
                      storage::Platform platform, storage::ProgressSink progress) = 0;
  // Images of other platforms than `wanted` are passed over.
  virtual Task<std::vector<storage::Image>> load(UniqueFd from,
                                                 std::optional<storage::Platform> wanted,
                                                 storage::ProgressSink progress) = 0;
  virtual Task<storage::Image> import(UniqueFd from, storage::ImportOptions options) = 0;
  // The archive that options.source, a URL, names.
  virtual Task<storage::Image> import_remote(storage::ImportOptions options,
                                             storage::ProgressSink progress) = 0;
  // What save() is to be given for what a client names: the name of a repository without a tag means
  // all its tags.   errors  not_found
  [[nodiscard]] virtual Result<std::vector<std::string>> names_to_save(
      const std::vector<std::string>& asked) const = 0;
  virtual Task<> save(std::vector<std::string> names, UniqueFd to) = 0;
  virtual Task<> tag(std::string name, std::string repo, std::string tag) = 0;
  virtual Task<storage::Removed> remove(std::string name, bool force) = 0;
  // All tags of a repository that are here, or the one that the name has.
  //   platform  what the image has to be of
  //   errors    internal, Docker's texts: no such tag here; the registry's, in its words
  virtual Task<> push(storage::Reference name, storage::RegistryAuth auth,
                      std::optional<storage::Platform> platform,
                      storage::ProgressSink progress) = 0;
  // What a registry has under a name.
  virtual Task<storage::RemoteImage> look_up(storage::Reference name,
                                             storage::RegistryAuth auth) = 0;
  //   filters  is-official, is-automated, stars
  virtual Task<std::vector<storage::SearchResult>> search(std::string term, int limit,
                                                          Filters filters,
                                                          storage::RegistryAuth auth) = 0;
  // Tries a login at a registry. An identity token to keep instead of the password, or "".
  //   errors  unauthorized, with the registry's text
  virtual Task<std::string> login(storage::RegistryAuth auth) = 0;
};

}  // namespace coracle::face
