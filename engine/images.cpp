#include "engine/images.hpp"

#include <algorithm>

#include "engine/request/image_rules.hpp"
#include "engine/request/search_rules.hpp"
#include "storage/images/platform.hpp"

namespace coracle {
namespace {

std::string short_image_id(const std::string& id) {
  const auto colon = id.find(':');
  return short_id(colon == std::string::npos ? id : id.substr(colon + 1));
}

// Named by its id or a prefix of it, not by a name.
bool is_id_of(const storage::Image& image, const std::string& name) {
  const auto hex = image.id.substr(image.id.find(':') + 1);
  const bool named = std::ranges::find(image.repo_tags, name) != image.repo_tags.end();
  return !named && (image.id.starts_with(name) || hex.starts_with(name));
}

}  // namespace

Result<std::vector<storage::Image>> Images::list(const Filters& filters, bool /*all*/) const {
  CHECK(check_filter_keys(filters, kImageFilterKeys));
  TRY(const auto dangling, switch_of(filters, "dangling"));
  TRY(const auto window, window_of(filters, now(), [this](const std::string& name) {
        return context_.storage->find(name);
      }));
  std::vector<storage::Image> out;
  for (auto& image : context_.storage->images()) {
    const bool wanted = !dangling || *dangling == image.repo_tags.empty();
    if (wanted && window.holds(image.created) && take_listed(image, filters))
      out.push_back(std::move(image));
  }
  return out;
}

Result<storage::Image> Images::find(const std::string& name) const {
  return context_.storage->find(name);
}

std::size_t Images::containers_of(const std::string& image_id) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      context_.table.all(),
      [&](const auto& entry) { return entry.second->record.image_id == image_id; }));
}

// A mounted image is used as the container's own is.
Images::Users Images::users_of(const std::string& image_id) const {
  Users out;
  for (const auto& [id, c] : context_.table.all()) {
    const bool uses = c->record.image_id == image_id ||
                      std::ranges::find(c->record.mounts, image_id, &MountRecord::image_id) !=
                          c->record.mounts.end();
    if (uses) (is_alive(c->state.status) ? out.running : out.stopped) = c.get();
  }
  return out;
}

bool Images::is_used(const std::string& image_id) const {
  const auto users = users_of(image_id);
  return users.running != nullptr || users.stopped != nullptr;
}

Task<> Images::pull(storage::Reference ref, storage::RegistryAuth auth, storage::Platform platform,
                    storage::ProgressSink progress) {
  const auto name = ref.familiar();
  std::map<std::string, std::string> attributes;
  if (ref.tag.empty() && ref.digest.empty()) {
    CO_CHECK(co_await context_.storage->pull_all(std::move(ref), std::move(auth),
                                                 std::move(platform), std::move(progress)));
  } else {
    CO_TRY(auto image, co_await context_.storage->pull(std::move(ref), std::move(auth),
                                                       std::move(platform), std::move(progress)));
    attributes = image.config.labels;
  }
  attributes["name"] = name;
  announce(*context_.events, "image", "pull", name, std::move(attributes));
  co_return Result<>{};
}

Task<std::vector<storage::Image>> Images::load(UniqueFd from,
                                               std::optional<storage::Platform> wanted,
                                               storage::ProgressSink progress) {
  CO_TRY(auto images,
         co_await context_.storage->load(std::move(from), std::move(wanted), std::move(progress)));
  for (const auto& image : images) {
    auto attributes = image.config.labels;
    attributes["name"] = image.repo_tags.empty() ? image.id : image.repo_tags[0];
    announce(*context_.events, "image", "load", image.id, std::move(attributes));
  }
  co_return images;
}

Task<storage::Image> Images::import(UniqueFd from, storage::ImportOptions options) {
  CO_TRY(auto image, co_await context_.storage->import(std::move(from), std::move(options)));
  announce_imported(image);
  co_return image;
}

Task<storage::Image> Images::import_remote(storage::ImportOptions options,
                                           storage::ProgressSink progress) {
  CO_TRY(auto image,
         co_await context_.storage->import_remote(std::move(options), std::move(progress)));
  announce_imported(image);
  co_return image;
}

void Images::announce_imported(const storage::Image& image) {
  auto attributes = image.config.labels;
  attributes["name"] = image.repo_tags.empty() ? image.id : image.repo_tags[0];
  announce(*context_.events, "image", "import", image.id, std::move(attributes));
}

Result<std::vector<std::string>> Images::names_to_save(
    const std::vector<std::string>& asked) const {
  const auto images = context_.storage->images();
  std::vector<std::string> out;
  for (const auto& name : asked) {
    auto tags = tags_of_repository(images, name);
    if (tags.empty()) {
      // In the words of Docker's names, not of its images.
      if (auto found = find(name); !found && found.error().code == Errc::not_found)
        return fail(Errc::not_found, "reference does not exist: {}", name);
      else if (!found)
        return std::unexpected(found.error());
      tags.push_back(name);
    }
    std::ranges::move(tags, std::back_inserter(out));
  }
  return out;
}

Task<> Images::save(std::vector<std::string> names, UniqueFd to) {
  std::vector<std::pair<std::string, std::string>> saved;
  for (const auto& name : names) {
    CO_TRY(const auto image, context_.storage->find(name));
    saved.emplace_back(image.id, name);
  }
  CO_CHECK(co_await context_.storage->save(std::move(names), std::move(to)));
  for (const auto& [id, name] : saved)
    announce(*context_.events, "image", "save", id, {{"name", name}});
  co_return Result<>{};
}

Task<> Images::tag(std::string name, std::string repo, std::string tag) {
  CO_TRY(auto ref, storage::parse_tag(repo, tag));
  CO_TRY(const auto image, context_.storage->find(name));
  const auto shown = ref.familiar();
  CO_CHECK(co_await context_.storage->tag(image.id, std::move(ref)));
  auto attributes = image.config.labels;
  attributes["name"] = shown;
  announce(*context_.events, "image", "tag", image.id, std::move(attributes));
  co_return Result<>{};
}

Result<> Images::may_remove(const storage::Image& image, const Users& users,
                            const std::string& name, bool force) {
  const bool by_id = is_id_of(image, name);
  const auto names = image.repo_tags.size();
  // A name among others is only a name.
  if (!by_id && names > 1) return {};
  const auto* running = users.running;
  const auto* stopped = users.stopped;
  const Container* user = running != nullptr ? running : stopped;
  const auto shown = short_image_id(image.id);
  if (!by_id) {
    if (user == nullptr || force) return {};
    return fail(
        Errc::conflict,
        "conflict: unable to remove repository reference \"{}\" (must force) - container {} "
        "is using its referenced image {}",
        name, short_id(user->id()), shown);
  }
  if (running != nullptr)
    return fail(Errc::conflict,
                "conflict: unable to delete {} (cannot be forced) - image is being used by running "
                "container {}",
                shown, short_id(running->id()));
  if (force) return {};
  if (names > 1)
    return fail(Errc::conflict,
                "conflict: unable to delete {} (must be forced) - image is referenced in multiple "
                "repositories",
                shown);
  if (stopped != nullptr)
    return fail(Errc::conflict,
                "conflict: unable to delete {} (must be forced) - image is being used by stopped "
                "container {}",
                shown, short_id(stopped->id()));
  return {};
}

Task<storage::Removed> Images::remove(std::string name, bool force) {
  CO_TRY(const auto image, context_.storage->find(name));
  const auto users = users_of(image.id);
  CO_CHECK(may_remove(image, users, name, force));
  // By name and by force: the name goes, and the image is still that of what runs.
  const bool keep = users.running != nullptr;
  CO_TRY(auto removed, co_await context_.storage->remove(name, force, keep));
  for (const auto& untagged : removed.untagged)
    announce(*context_.events, "image", "untag", image.id, {{"name", untagged}});
  const bool gone = std::ranges::find(removed.deleted, image.id) != removed.deleted.end();
  if (gone) announce(*context_.events, "image", "delete", image.id, {{"name", image.id}});
  co_return removed;
}

Task<> Images::push(storage::Reference name, storage::RegistryAuth auth,
                    std::optional<storage::Platform> platform, storage::ProgressSink progress) {
  storage::Progress first;
  first.status = "The push refers to repository [" + storage::canonical_name(name) + "]";
  progress(first);
  auto tags = tags_of_repository(context_.storage->images(), name.familiar_name());
  if (tags.empty())
    co_return fail(Errc::not_found, "An image does not exist locally with the tag: {}",
                   name.familiar_name());
  if (!name.tag.empty()) {
    if (std::ranges::find(tags, name.familiar()) == tags.end())
      co_return fail(Errc::not_found, "tag does not exist: {}", name.familiar());
    tags = {name.familiar()};
  }
  std::ranges::sort(tags);
  for (const auto& tag : tags) {
    if (platform) {
      CO_TRY(const auto image, find(tag));
      CO_CHECK(storage::check_platform(image, tag, *platform));
    }
    CO_TRY(auto reference, storage::parse_reference(tag, false));
    CO_CHECK(co_await context_.storage->push(std::move(reference), auth, progress));
  }
  announce(*context_.events, "image", "push", name.familiar(), {{"name", name.familiar_name()}});
  co_return Result<>{};
}

Task<storage::RemoteImage> Images::look_up(storage::Reference name, storage::RegistryAuth auth) {
  return context_.storage->look_up(std::move(name), std::move(auth));
}

Task<std::vector<storage::SearchResult>> Images::search(std::string term, int limit,
                                                        Filters filters,
                                                        storage::RegistryAuth auth) {
  CO_CHECK(check_filter_keys(filters, kSearchFilterKeys));
  CO_TRY(const auto wanted, search_rules(filters));
  // Docker Hub has had no automated builds since they were abolished.
  if (wanted.automated == true) co_return std::vector<storage::SearchResult>();
  CO_TRY(auto found, co_await context_.storage->search(std::move(term), limit, std::move(auth)));
  std::erase_if(found, [&wanted](const auto& one) { return !wanted.takes(one); });
  co_return found;
}

Task<std::string> Images::login(storage::RegistryAuth auth) {
  return context_.storage->login(std::move(auth));
}

}  // namespace coracle
