#include "storage/registry/push.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <variant>

#include "engine/base/defer.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "storage/content/digest.hpp"
#include "storage/images/load.hpp"
#include "storage/images/manifest.hpp"

namespace coracle::storage {
namespace {

constexpr int kUploadsAtOnce = 5;             // Docker's max-concurrent-uploads
constexpr std::size_t kMostRepositories = 3;  // that are asked for a layer

struct Layer {
  LayerInfo info;
  Descriptor there;       // as the manifest names it
  bool compress = false;  // `there` is known once it is uploaded
  std::vector<std::string> repositories;
};

// What is to be pushed, read from the store.
struct Plan {
  std::string id, config;
  std::string manifest, manifest_type;  // as they are; "": made when the layers are there
  std::vector<Layer> layers;            // lowest first
};

// Of the same registry, those that have a layer by its diff id.
std::map<std::string, std::vector<std::string>> repositories_of(const ImageStore& images,
                                                                const Reference& name) {
  std::map<std::string, std::vector<std::string>> out;
  for (const auto& image : images.images()) {
    for (const auto& digest : image.repo_digests) {
      const auto there = parse_reference(digest, false);
      if (!there || there->domain != name.domain || there->path == name.path) continue;
      for (const auto& diff : image.diff_ids) {
        auto& of = out[diff];
        if (of.size() < kMostRepositories && std::ranges::find(of, there->path) == of.end())
          of.push_back(there->path);
      }
    }
  }
  return out;
}

bool is_plain_tar(const LayerInfo& layer) { return layer.blob == layer.diff_id; }

// Blocking.
Result<Plan> make_plan(const std::string& id, const Reference& name, BlobStore& blobs,
                       LayerStore& layers, ImageStore& images) {
  Plan plan;
  plan.id = id;
  TRY(const auto record, images.record(id));
  TRY(const auto image, images.by_id(id));
  TRY(plan.config, blobs.read(id));
  TRY(auto manifest, blobs.read(record.manifest));
  TRY(const auto parsed, parse_manifest(manifest, record.manifest_type));
  const auto* listed = std::get_if<Manifest>(&parsed);
  if (listed == nullptr) return fail(Errc::internal, "image {}: its manifest is an index", id);
  std::vector<LayerInfo> infos;
  for (const auto& chain : chain_ids(image.diff_ids)) {
    auto info = layers.find(chain);
    if (!info) return fail(Errc::not_found, "image {}: layer {} is gone", id, chain);
    infos.push_back(*std::move(info));
  }
  const bool whole = std::ranges::all_of(
      listed->layers, [&blobs](const Descriptor& d) { return blobs.has(d.digest); });
  // Others write an OCI manifest of gzip layers by the same bytes: that one goes as it is.
  const bool made_here =
      std::ranges::any_of(infos, is_plain_tar) && manifest == manifest_for(plan.config, infos);
  const bool ours = made_here || !whole;
  if (!ours) {
    plan.manifest = std::move(manifest);
    plan.manifest_type = record.manifest_type;
  }
  const auto repositories = repositories_of(images, name);
  for (std::size_t i = 0; i < infos.size(); ++i) {
    Layer layer;
    layer.info = infos[i];
    if (const auto of = repositories.find(layer.info.diff_id); of != repositories.end())
      layer.repositories = of->second;
    layer.compress = ours && is_plain_tar(layer.info);
    if (!ours) {
      layer.there = listed->layers[i];
      layer.info.blob = layer.there.digest;
      layer.info.blob_size = layer.there.size;
    } else if (!layer.compress) {
      layer.there.digest = layer.info.blob;
      layer.there.size = layer.info.blob_size;
      layer.there.media_type = layer.info.media_type;
    } else if (layer.info.pushed) {
      layer.there.digest = layer.info.pushed->digest;
      layer.there.size = layer.info.pushed->size;
    }
    plan.layers.push_back(std::move(layer));
  }
  return plan;
}

bool is_zstd(const Descriptor& layer) { return layer.media_type.ends_with("zstd"); }

// Docker's schema has no name for zstd.
bool docker_can_say_it(const Plan& plan) {
  return std::ranges::none_of(plan.layers, [](const Layer& l) { return is_zstd(l.there); });
}

std::string made_manifest(const Plan& plan, bool docker) {
  Manifest manifest;
  manifest.media_type = docker ? media::kDockerManifest : media::kOciManifest;
  manifest.config.media_type = docker ? media::kDockerConfig : media::kOciConfig;
  manifest.config.digest = plan.id;
  manifest.config.size = static_cast<std::int64_t>(plan.config.size());
  for (const auto& layer : plan.layers) {
    Descriptor d = layer.there;
    if (docker)
      d.media_type = media::kDockerLayerGzip;
    else if (!is_zstd(d))
      d.media_type = media::kOciLayerGzip;
    manifest.layers.push_back(std::move(d));
  }
  return json::to_text(manifest);
}

}  // namespace

struct Pusher::Order {
  explicit Order(asio::io_context& io) : changed(io), scope(io) {}
  Reference name;
  RegistryAuth auth;
  std::shared_ptr<PullProgress> progress;
  ProgressSink sink;
  RegistryClient::Session session;
  Plan plan;
  Signal changed;
  std::size_t left = 0;  // layers
  std::optional<Error> failed;
  Scope scope;

  [[nodiscard]] std::string shown(std::size_t layer) const {
    return short_id(hex_of(plan.layers[layer].info.diff_id));
  }
};

struct Pusher::Places {
  explicit Places(asio::io_context& io) : free(io) {}
  Signal free;
  int taken = 0;
};

Pusher::Pusher(asio::io_context& io, Workers& workers, RegistryClient& client,
               RegistryConfig config, BlobStore& blobs, LayerStore& layers, ImageStore& images)
    : io_(io),
      workers_(workers),
      client_(client),
      config_(std::move(config)),
      layers_(layers),
      blobs_(blobs),
      images_(images),
      uploader_(io, client, blobs, config_.retry_ms),
      places_(std::make_shared<Places>(io)) {}

Task<> Pusher::push(Reference name, RegistryAuth auth, ProgressSink sink) {
  const auto order = std::make_shared<Order>(io_);
  order->name = std::move(name);
  order->auth = std::move(auth);
  order->sink = sink;
  order->progress = std::make_shared<PullProgress>(std::move(sink));
  auto pushed = co_await push_pinned(order);
  order->progress->end();
  order->sink = nullptr;
  co_return pushed;
}

Task<> Pusher::push_pinned(std::shared_ptr<Order> order) {
  const auto& name = order->name;
  CO_TRY(const auto image, images_.find(name.familiar()));
  // Before anything is looked for in the store.
  std::vector<std::string> keys{image.id};
  for (const auto& chain : chain_ids(image.diff_ids)) keys.push_back(chain);
  Pin pin = layers_.pins().take(keys);
  auto read = [id = image.id, name, &blobs = blobs_, &layers = layers_, &images = images_] {
    return make_plan(id, name, blobs, layers, images);
  };
  CO_TRY(order->plan, co_await workers_.run(std::move(read)));
  std::vector<std::string> blobs;
  for (const auto& layer : order->plan.layers) blobs.push_back(layer.info.blob);
  pin.add(blobs);
  for (std::size_t i = 0; i < order->plan.layers.size(); ++i)
    order->progress->say(order->shown(i), "Preparing");
  CO_TRY(order->session, co_await connect(order));
  CO_CHECK(co_await push_layers(order));
  std::string config = order->plan.config;
  CO_CHECK(co_await uploader_.upload_bytes(order->session, std::move(config)));
  CO_TRY(const auto manifest, co_await put_manifest(order));

  Progress last;
  last.pushed.emplace();
  last.pushed->tag = name.tag;
  last.pushed->digest = sha256_of(manifest);
  last.pushed->size = static_cast<std::int64_t>(manifest.size());
  order->progress->say(
      "", fmt::format("{}: digest: {} size: {}", name.tag, last.pushed->digest, manifest.size()));
  if (order->sink) order->sink(last);
  Reference there = name;
  there.tag.clear();
  there.digest = last.pushed->digest;
  auto note = [&images = images_, id = image.id, there] { return images.add_digest(id, there); };
  // The registry has it, whatever is written down here.
  if (const auto noted = co_await workers_.run(std::move(note)); !noted)
    log::warn("digest of what was pushed not kept id={} reason={}", image.id,
              noted.error().message);
  log::info("image pushed name={} id={}", name.familiar(), image.id);
  co_return Result<>{};
}

// Never to a mirror.
Task<RegistryClient::Session> Pusher::connect(std::shared_ptr<Order> order) {
  for (std::size_t tried = 0;;) {
    CO_TRY(auto session, co_await client_.connect(order->name, order->auth, &tried));
    if (session.endpoint.mirror) continue;
    session.scope = "repository:" + session.repository + ":pull,push";
    co_return session;
  }
}

Task<> Pusher::push_layers(std::shared_ptr<Order> order) {
  order->left = order->plan.layers.size();
  for (std::size_t i = 0; i < order->plan.layers.size(); ++i)
    order->scope.start("push a layer", push_layer(order, i));
  bool cancelled = false;
  while (order->left > 0 && !order->failed && !cancelled)
    cancelled = !co_await order->changed.wait();
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await order->scope.close();
  if (order->failed) co_return std::unexpected(*order->failed);
  if (cancelled) co_return fail(Errc::unavailable, "the push was cancelled");
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
  co_return Result<>{};
}

Coro<void> Pusher::push_layer(std::shared_ptr<Order> order, std::size_t at) {
  auto done = co_await push_one(order, at);
  --order->left;
  if (!done && !order->failed) order->failed = done.error();
  order->changed.notify_all();
}

Task<> Pusher::push_one(std::shared_ptr<Order> order, std::size_t at) {
  const auto places = places_;
  const std::string shown = order->shown(at);
  const auto progress = order->progress;
  if (places->taken >= kUploadsAtOnce) progress->say(shown, "Waiting");
  while (places->taken >= kUploadsAtOnce) {
    if (!co_await places->free.wait()) co_return fail(Errc::unavailable, "the push was cancelled");
  }
  ++places->taken;
  const Defer leave([places] {
    --places->taken;
    places->free.notify_all();
  });
  Layer& layer = order->plan.layers[at];
  if (!order->plan.manifest.empty() && is_foreign(layer.there)) {
    progress->say(shown, "Skipped foreign layer");
    co_return Result<>{};
  }
  BlobJob job;
  job.session = order->session;
  job.blob = layer.info.blob;
  job.blob_size = layer.info.blob_size;
  job.compress = layer.compress;
  job.expected = layer.there.digest;
  job.expected_size = layer.there.size;
  job.repositories = layer.repositories;
  job.say = [progress, shown](const std::string& what) { progress->say(shown, what); };
  job.progress = [progress, shown, total = layer.info.blob_size](std::int64_t sent) {
    progress->bar(shown, "Pushing", sent, total);
  };
  CO_TRY(const auto there, co_await uploader_.upload(std::move(job)));
  if (!there.mounted_from.empty())
    progress->say(shown, "Mounted from " + there.mounted_from);
  else
    progress->say(shown, there.sent ? "Pushed" : "Layer already exists");
  layer.there.digest = there.digest;
  layer.there.size = there.size;
  const auto& known = layer.info.pushed;
  if (layer.compress && (!known || known->digest != there.digest)) {
    PushedBlob blob;
    blob.digest = there.digest;
    blob.size = there.size;
    auto note = [&layers = layers_, chain = layer.info.chain_id, blob] {
      return layers.note_pushed(chain, blob);
    };
    if (const auto noted = co_await workers_.run(std::move(note)); !noted)
      log::warn("digest of a pushed layer not kept layer={} reason={}", layer.info.chain_id,
                noted.error().message);
  }
  co_return Result<>{};
}

// The bytes that the registry has taken.
Task<std::string> Pusher::put_manifest(std::shared_ptr<Order> order) {
  const auto& plan = order->plan;
  std::vector<std::pair<std::string, std::string>> tries;  // type, bytes
  if (!plan.manifest.empty()) {
    tries.emplace_back(plan.manifest_type, plan.manifest);
  } else {
    if (docker_can_say_it(plan))
      tries.emplace_back(media::kDockerManifest, made_manifest(plan, true));
    tries.emplace_back(media::kOciManifest, made_manifest(plan, false));
  }
  std::optional<Error> refused;
  for (auto& [type, bytes] : tries) {
    HttpRequest request;
    request.method = "PUT";
    request.url = order->session.url("manifests/" + order->name.tag);
    request.headers.push_back("Content-Type: " + type);
    request.body = bytes;
    CO_TRY(const auto answer, co_await client_.send(order->session, std::move(request)));
    if (answer.status == 201 || answer.status == 200 || answer.status == 202)
      co_return std::move(bytes);
    if (!refused) refused = registry_error(answer);
    const bool other_schema = answer.status == 400 || answer.status == 404 ||
                              answer.status == 406 || answer.status == 415;
    if (!other_schema) break;
  }
  co_return std::unexpected(*refused);
}

}  // namespace coracle::storage
