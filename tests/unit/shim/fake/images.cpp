#include "tests/unit/shim/fake/images.hpp"

#include <memory>
#include <utility>

#include "engine/base/file.hpp"

namespace coracle::test {

Result<std::vector<storage::Image>> FakeImages::list(const Filters& /*filters*/, bool) const {
  std::vector<storage::Image> out;
  for (const auto& [name, image] : all) out.push_back(image);
  return out;
}

Result<storage::Image> FakeImages::find(const std::string& name) const {
  const auto found = all.find(name);
  if (found == all.end()) return fail(Errc::not_found, "No such image: {}", name);
  return found->second;
}

std::size_t FakeImages::containers_of(const std::string&) const { return 3; }

Task<> FakeImages::pull(storage::Reference ref, storage::RegistryAuth auth, storage::Platform,
                        storage::ProgressSink progress) {
  last_reference = std::move(ref);
  last_auth = std::move(auth);
  for (const auto& line : pull_lines) progress(line);
  if (pull_never_ends) CO_CHECK(co_await happenings_.next(happenings_.count));
  if (pull_error) co_return std::unexpected(*pull_error);
  co_return Result<>{};
}

Task<std::vector<storage::Image>> FakeImages::load(UniqueFd from,
                                                   std::optional<storage::Platform> wanted,
                                                   storage::ProgressSink progress) {
  last_platform = std::move(wanted);
  auto job = [this, fd = std::make_shared<UniqueFd>(std::move(from))]() -> Result<> {
    std::string piece(65536, '\0');
    for (;;) {
      TRY(const auto n, read_some(*fd, piece));
      if (n == 0) break;
      loaded_bytes += n;
    }
    load_whole = true;
    return {};
  };
  CO_CHECK(co_await workers_.run(std::move(job)));
  if (load_error) co_return std::unexpected(*load_error);
  storage::Progress p;
  p.stream = "Loaded image: x:1\n";
  progress(p);
  co_return std::vector<storage::Image>();
}

Task<storage::Image> FakeImages::import(UniqueFd from, storage::ImportOptions options) {
  last = options.tag ? options.tag->familiar() : "";
  std::optional<storage::Platform> any;
  auto quiet = [](const storage::Progress&) {};
  storage::ProgressSink sink = quiet;
  CO_CHECK(co_await load(std::move(from), std::move(any), std::move(sink)));
  storage::Image image;
  image.id = "sha256:" + std::string(64, 'a');
  co_return image;
}

Task<storage::Image> FakeImages::import_remote(storage::ImportOptions options,
                                               storage::ProgressSink progress) {
  last = options.tag ? options.tag->familiar() : "";
  storage::Progress p;
  p.status = "Downloading from " + options.source;
  progress(p);
  storage::Image image;
  image.id = "sha256:" + std::string(64, 'a');
  co_return image;
}

Task<> FakeImages::push(storage::Reference name, storage::RegistryAuth auth,
                        std::optional<storage::Platform> platform, storage::ProgressSink progress) {
  last_reference = std::move(name);
  last_auth = std::move(auth);
  last_platform = std::move(platform);
  storage::Progress p;
  p.pushed.emplace();
  p.pushed->tag = last_reference.tag;
  p.pushed->digest = "sha256:" + std::string(64, 'b');
  p.pushed->size = 7;
  progress(p);
  co_return Result<>{};
}

Task<storage::RemoteImage> FakeImages::look_up(storage::Reference name,
                                               storage::RegistryAuth auth) {
  last_reference = std::move(name);
  last_auth = std::move(auth);
  storage::RemoteImage out;
  out.descriptor.media_type = "application/x";
  out.descriptor.digest = "sha256:" + std::string(64, 'c');
  out.descriptor.size = 9;
  out.platforms = {{"linux", "arm64", "v8"}, {"linux", "amd64", ""}};
  co_return out;
}

Task<std::vector<storage::SearchResult>> FakeImages::search(std::string term, int limit,
                                                            Filters filters,
                                                            storage::RegistryAuth auth) {
  last = fmt::format("{} {} {}", term, limit, filters.size());
  last_auth = std::move(auth);
  storage::SearchResult one;
  one.name = "alpine";
  one.star_count = 3;
  one.is_official = true;
  co_return std::vector<storage::SearchResult>{one};
}

Result<std::vector<std::string>> FakeImages::names_to_save(
    const std::vector<std::string>& asked) const {
  std::vector<std::string> out;
  for (const auto& name : asked) {
    if (const auto at = repositories.find(name); at != repositories.end()) {
      out.insert(out.end(), at->second.begin(), at->second.end());
    } else {
      CHECK(find(name));
      out.push_back(name);
    }
  }
  return out;
}

Task<> FakeImages::save(std::vector<std::string> names, UniqueFd to) {
  last_saved = std::move(names);
  auto job = [size = save_bytes, fd = std::make_shared<UniqueFd>(std::move(to))]() -> Result<> {
    return write_all(*fd, std::string(size, 's'));
  };
  const auto done = co_await workers_.run(std::move(job));
  if (!done) happenings_.cancelled = true;
  co_return done;
}

Task<> FakeImages::tag(std::string name, std::string repo, std::string tag) {
  last = "tag " + name + " " + repo + " " + tag;
  co_return Result<>{};
}

Task<storage::Removed> FakeImages::remove(std::string name, bool force) {
  last = fmt::format("rmi {} {}", name, force);
  co_return storage::Removed{{name}, {"sha256:1"}};
}

Task<std::string> FakeImages::login(storage::RegistryAuth auth) {
  if (auth.password == "right") co_return std::string("instead-of-it");
  co_return fail(Errc::unauthorized, "incorrect username or password");
}

}  // namespace coracle::test
