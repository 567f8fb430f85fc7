#include "storage/registry/registry.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "engine/base/ident.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "storage/content/digest.hpp"
#include "storage/images/manifest.hpp"
#include "storage/registry/signature.hpp"

namespace coracle::storage {
namespace {

const std::vector<std::string> kManifestTypes{media::kDockerManifest, media::kDockerList,
                                              media::kOciManifest, media::kOciIndex,
                                              "application/json"};

constexpr std::size_t kMostTags = 10'000;

struct TagList {
  std::vector<std::string> tags;
};
void describe(auto& field, TagList& t) { field("tags", t.tags); }

std::string status_of(bool newer, const std::string& name) {
  return (newer ? "Status: Downloaded newer image for " : "Status: Image is up to date for ") +
         name;
}

std::string shown_id(const std::string& digest) { return short_id(hex_of(digest)); }

// With the blobs that its layers came as: it can be saved and pushed.
bool is_whole(const Image& image, const LayerStore& layers, const BlobStore& blobs) {
  return std::ranges::all_of(chain_ids(image.diff_ids), [&](const std::string& chain) {
    const auto layer = layers.find(chain);
    return layer && blobs.has(layer->blob);
  });
}

std::string content_type(const HttpResponse& response) {
  const std::string whole = response.header("content-type");
  return whole.substr(0, whole.find(';'));
}

Result<> check_platform(const ConfigFile& config, const Platform& wanted, const Reference& ref) {
  const Platform full = resolve_platform(wanted);
  const bool os = wanted.os.empty() || config.os.empty() || config.os == full.os;
  const bool architecture = wanted.architecture.empty() || config.architecture.empty() ||
                            config.architecture == full.architecture;
  if (os && architecture) return {};
  return fail(Errc::not_found,
              "image with reference {} was found but its platform ({}/{}) does not match the "
              "specified platform ({}/{})",
              ref.familiar(), config.os, config.architecture, full.os, full.architecture);
}

}  // namespace

// What the registry has under a name.
struct Registry::Found {
  RegistryClient::Session session;
  std::string digest;  // of what the name stands for: an index, or the manifest
  std::string manifest_bytes, manifest_type, manifest_digest;
  Manifest manifest;
  std::string config_bytes;
  ConfigFile config;
};

struct Registry::Answered {
  std::string bytes, type, digest;
  std::variant<Manifest, Index> parsed;
};

struct Registry::Order {
  Reference ref;
  RegistryAuth auth;
  Platform platform;
  std::shared_ptr<PullProgress> progress;
  bool one_of_all = false;  // its repository's status is told by who pulls them all
  bool newer = false;       // than what was here under its name
  bool given_up = false;    // cancelled when layers were on their way
};

// The layers of one pull on their way.
struct Registry::Layers {
  explicit Layers(asio::io_context& io) : changed(io) {}
  Signal changed;
  std::size_t left = 0;
  std::optional<Error> failed;
};

Registry::Registry(asio::io_context& io, Workers& workers, RegistryConfig config, BlobStore& blobs,
                   LayerStore& layers, ImageStore& images, Sweep sweep)
    : io_(io),
      workers_(workers),
      blobs_(blobs),
      layers_(layers),
      images_(images),
      sweep_(std::move(sweep)),
      transfer_(io),
      client_(transfer_, workers, config),
      fetcher_(io, client_, config, blobs, layers),
      pusher_(io, workers, client_, config, blobs, layers, images) {}

Task<Image> Registry::pull(Reference ref, RegistryAuth auth, Platform platform, ProgressSink sink) {
  const auto order = std::make_shared<Order>();
  order->ref = std::move(ref);
  order->auth = std::move(auth);
  order->platform = std::move(platform);
  order->progress = std::make_shared<PullProgress>(std::move(sink));
  return pull_order(order);
}

Task<Image> Registry::pull_order(std::shared_ptr<Order> order) {
  auto pulled = co_await pull_pinned(order);
  order->progress->end();
  // Its pins are gone; what other pulls wait for has theirs.
  if (order->given_up && sweep_) co_await sweep_();
  co_return pulled;
}

Task<Image> Registry::pull_pinned(std::shared_ptr<Order> order) {
  const auto& [ref, auth, platform, progress, one_of_all, newer, given_up] = *order;
  CO_CHECK(may_pull(client_.policy(), canonical_name(ref), ref.tag, ref.digest));
  CO_TRY(auto there, co_await find(ref, auth, platform));
  const auto found = std::make_shared<Found>(std::move(there));
  CO_CHECK(co_await check_trust(found, ref));
  const std::string id = found->manifest.config.digest;
  const auto known = images_.by_id(id);
  const std::string name = ref.familiar();
  const bool named =
      known && (ref.digest.empty() ? std::ranges::count(known->repo_tags, name) > 0
                                   : std::ranges::count(known->repo_digests, name) > 0);
  progress->say(ref.digest.empty() ? ref.tag : ref.digest, "Pulling from " + ref.path);

  // Pinned before it is looked for, until the image is known.
  std::vector<std::string> keys{id, found->manifest_digest};
  for (const auto& layer : found->manifest.layers) keys.push_back(layer.digest);
  Pin pin = layers_.pins().take(keys);
  if (known && is_whole(*known, layers_, blobs_)) {
    auto read = [&blobs = blobs_, id] { return blobs.read(id); };
    CO_TRY(found->config_bytes, co_await workers_.run(std::move(read)));
  } else {
    CO_CHECK(co_await get_config(found, ref, platform));
    pin.add(chain_ids(found->config.rootfs.diff_ids));
    CO_CHECK(co_await get_layers(found, order));
  }

  NewImage image;
  image.manifest = found->manifest_bytes;
  image.manifest_type = found->manifest_type;
  image.config = found->config_bytes;
  Reference by_digest = ref;
  by_digest.tag.clear();
  by_digest.digest = found->digest;
  if (ref.digest.empty()) image.names.push_back(ref);
  image.names.push_back(std::move(by_digest));
  auto add = [&images = images_, image = std::move(image)] { return images.add(image); };
  CO_TRY(auto added, co_await workers_.run(std::move(add)));
  progress->say("", "Digest: " + found->digest);
  order->newer = !named;
  if (!one_of_all) progress->say("", status_of(order->newer, name));
  log::info("image pulled name={} id={}", name, id);
  co_return added;
}

Task<> Registry::pull_all(Reference repository, RegistryAuth auth, Platform platform,
                          ProgressSink sink) {
  CO_TRY(const auto tags, co_await tags_of(repository, auth));
  bool newer = false;
  for (const auto& tag : tags) {
    const auto order = std::make_shared<Order>();
    order->ref = repository;
    order->ref.tag = tag;
    order->auth = auth;
    order->platform = platform;
    order->progress = std::make_shared<PullProgress>(sink);
    order->one_of_all = true;
    CO_CHECK(co_await pull_order(order));
    newer = newer || order->newer;
  }
  Progress last;
  last.status = status_of(newer, repository.familiar_name());
  sink(last);
  co_return Result<>{};
}

Task<std::vector<std::string>> Registry::tags_of(Reference repository, RegistryAuth auth) {
  for (std::size_t tried = 0;;) {
    CO_TRY(auto session, co_await client_.connect(repository, auth, &tried));
    const bool mirror = session.endpoint.mirror;
    auto tags = co_await tags_there(std::move(session), repository);
    if (tags || !mirror) co_return tags;
  }
}

Task<> Registry::check_trust(std::shared_ptr<Found> found, Reference ref) {
  const auto& policy = client_.policy();
  const auto name = canonical_name(ref);
  CO_CHECK(check_pinned(policy, name, ref.tag, found->digest));
  const auto* rule = signature_rule(policy, name);
  if (rule == nullptr) co_return Result<>{};
  std::vector<std::string> digests{found->digest};
  if (found->manifest_digest != found->digest) digests.push_back(found->manifest_digest);
  co_return co_await check_signed(client_, found->session, std::move(ref), std::move(digests),
                                  rule->first, rule->second);
}

// Page by page; one that is no tag by Docker's grammar ends it.
Task<std::vector<std::string>> Registry::tags_there(RegistryClient::Session session,
                                                    Reference repository) {
  std::vector<std::string> out;
  std::string url = session.url("tags/list");
  while (!url.empty()) {
    HttpRequest request;
    request.url = url;
    CO_TRY(const auto answer, co_await client_.send(session, std::move(request)));
    if (answer.status != 200)
      co_return std::unexpected(pull_error(answer, repository, !session.auth.username.empty()));
    auto page = json::from_text<TagList>(answer.body);
    if (!page) co_return std::unexpected(page.error().within("read the list of tags"));
    for (auto& tag : page->tags) {
      CO_CHECK(parse_tag(repository.familiar_name(), tag));
      if (out.size() == kMostTags)
        co_return fail(Errc::invalid_argument, "{}: more than {} tags", repository.familiar_name(),
                       kMostTags);
      out.push_back(std::move(tag));
    }
    const auto next = next_page(answer);
    url = next.empty() || page->tags.empty() ? std::string{} : resolve_url(url, next);
  }
  co_return out;
}

Task<Registry::Found> Registry::find(Reference ref, RegistryAuth auth, Platform platform) {
  std::size_t tried = 0;
  std::optional<Error> refused;  // by a mirror
  for (;;) {
    auto session = co_await client_.connect(ref, auth, &tried);
    if (!session) co_return std::unexpected(refused ? *refused : session.error());
    const bool mirror = session->endpoint.mirror;
    auto found = co_await find_there(*std::move(session), ref, platform);
    if (found || !mirror) co_return found;
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return found;
    log::debug("a mirror does not have it name={} reason={}", ref.familiar(),
               found.error().message);
    refused = found.error();
  }
}

//   name  a tag or a digest
Task<Registry::Answered> Registry::ask(RegistryClient::Session session, Reference ref,
                                       std::string name) {
  std::string path = "manifests/" + name;
  CO_TRY(auto answer, co_await client_.get(session, std::move(path), kManifestTypes));
  if (answer.status != 200)
    co_return std::unexpected(pull_error(answer, ref, !session.auth.username.empty()));
  Answered out;
  out.digest = sha256_of(answer.body);
  if (is_digest(name) && out.digest != name) {
    co_return fail(Errc::internal, "manifest verification failed for digest {}: it has {}", name,
                   out.digest);
  }
  out.type = content_type(answer);
  auto parsed = parse_manifest(answer.body, out.type);
  if (!parsed) co_return std::unexpected(parsed.error().within("{}", ref.familiar()));
  out.parsed = *std::move(parsed);
  const auto said = std::visit([](const auto& p) { return p.media_type; }, out.parsed);
  if (!said.empty()) out.type = said;
  out.bytes = std::move(answer.body);
  co_return out;
}

Task<RemoteImage> Registry::look_up(Reference ref, RegistryAuth auth) {
  std::size_t tried = 0;
  for (;;) {
    CO_TRY(auto session, co_await client_.connect(ref, auth, &tried));
    const bool mirror = session.endpoint.mirror;
    auto found = co_await look_up_there(std::move(session), ref);
    if (found || !mirror) co_return found;
  }
}

Task<RemoteImage> Registry::look_up_there(RegistryClient::Session session, Reference ref) {
  std::string name = ref.digest.empty() ? ref.tag : ref.digest;
  CO_TRY(auto there, co_await ask(session, ref, std::move(name)));
  RemoteImage out;
  out.descriptor.media_type = there.type;
  out.descriptor.digest = there.digest;
  out.descriptor.size = static_cast<std::int64_t>(there.bytes.size());
  if (const auto* index = std::get_if<Index>(&there.parsed)) {
    for (const auto& entry : index->manifests) {
      if (entry.platform) out.platforms.push_back(*entry.platform);
    }
    co_return out;
  }
  const auto found = std::make_shared<Found>();
  found->session = std::move(session);
  found->manifest = std::get<Manifest>(there.parsed);
  CO_CHECK(co_await read_config(found, ref));
  Platform of;
  of.os = found->config.os;
  of.architecture = found->config.architecture;
  of.variant = found->config.variant;
  out.platforms.push_back(std::move(of));
  co_return out;
}

Task<Registry::Found> Registry::find_there(RegistryClient::Session session, Reference ref,
                                           Platform platform) {
  Found found;
  std::string name = ref.digest.empty() ? ref.tag : ref.digest;
  for (int depth = 0; depth < 3; ++depth) {
    CO_TRY(auto there, co_await ask(session, ref, name));
    if (found.digest.empty()) found.digest = there.digest;
    if (auto* manifest = std::get_if<Manifest>(&there.parsed)) {
      found.session = std::move(session);
      found.manifest = std::move(*manifest);
      found.manifest_digest = there.digest;
      found.manifest_bytes = std::move(there.bytes);
      found.manifest_type = there.type;
      co_return found;
    }
    CO_TRY(const auto chosen, choose(std::get<Index>(there.parsed), resolve_platform(platform)));
    name = chosen.digest;
  }
  co_return fail(Errc::invalid_argument, "{}: indexes of indexes are nested too deep",
                 ref.familiar());
}

Task<> Registry::read_config(std::shared_ptr<Found> found, Reference ref) {
  const std::string digest = found->manifest.config.digest;
  std::string path = "blobs/" + digest;
  CO_TRY(auto answer, co_await client_.get(found->session, std::move(path), {}));
  if (answer.status != 200)
    co_return std::unexpected(pull_error(answer, ref, !found->session.auth.username.empty()));
  if (sha256_of(answer.body) != digest)
    co_return fail(Errc::internal, "image config verification failed for digest {}", digest);
  CO_TRY(found->config, parse_config(answer.body));
  found->config_bytes = std::move(answer.body);
  co_return Result<>{};
}

Task<> Registry::get_config(std::shared_ptr<Found> found, Reference ref, Platform platform) {
  CO_CHECK(co_await read_config(found, ref));
  CO_CHECK(check_platform(found->config, platform, ref));
  if (found->config.rootfs.diff_ids.size() != found->manifest.layers.size()) {
    co_return fail(Errc::invalid_argument,
                   "the image's configuration names {} layers and its manifest {}",
                   found->config.rootfs.diff_ids.size(), found->manifest.layers.size());
  }
  co_return Result<>{};
}

Task<> Registry::get_layers(std::shared_ptr<Found> found, std::shared_ptr<Order> order) {
  const auto& progress = order->progress;
  const auto& diffs = found->config.rootfs.diff_ids;
  const auto chains = chain_ids(diffs);
  const auto all = std::make_shared<Layers>(io_);
  const auto scope = std::make_shared<Scope>(io_);
  for (std::size_t i = 0; i < diffs.size(); ++i) {
    LayerJob job;
    job.blob = found->manifest.layers[i];
    job.shown = shown_id(job.blob.digest);
    const auto there = layers_.find(chains[i]);
    job.blob_only = there && there->blob == job.blob.digest && !blobs_.has(there->blob);
    if (there && !job.blob_only) {
      progress->say(job.shown, "Already exists");
      continue;
    }
    progress->say(job.shown, "Pulling fs layer");
    job.session = found->session;
    job.ref = order->ref;
    job.diff_id = diffs[i];
    job.chain_id = chains[i];
    job.parent = i == 0 ? std::string{} : chains[i - 1];
    job.progress = progress;
    ++all->left;
    scope->start("pull a layer", get_layer(std::move(job), scope, all));
  }
  bool cancelled = false;
  while (all->left > 0 && !all->failed && !cancelled) cancelled = !co_await all->changed.wait();
  // From here on it is not to be disturbed: nobody may look at what is gone.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await scope->close();
  order->given_up = cancelled;
  if (all->failed) co_return std::unexpected(*all->failed);
  if (cancelled) co_return fail(Errc::unavailable, "pull {}: cancelled", order->ref.familiar());
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
  co_return Result<>{};
}

Coro<void> Registry::get_layer(LayerJob job, std::shared_ptr<Scope> scope,
                               std::shared_ptr<Layers> all) {
  auto done = co_await fetcher_.fetch(std::move(job), std::move(scope));
  --all->left;
  if (!done && !all->failed) all->failed = done.error();
  all->changed.notify_all();
}

}  // namespace coracle::storage
