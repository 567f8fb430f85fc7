// Registries as the store uses them. Pushes: push.hpp. Pulls: from a name to an image in the store.
//   manifest (through an index, for the platform) -> configuration -> layers, three at a time, each
//   downloading, verifying and unpacking at once -> the image is made known.
// What a pull needs is pinned from the moment it is known. A pull that fails, or is killed with the
// daemon, leaves layers that are whole, and nothing else; the next one goes on with them. One that
// is cancelled, since its client has left, leaves nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/content/blob_store.hpp"
#include "storage/content/config.hpp"
#include "storage/content/progress.hpp"
#include "storage/images/image.hpp"
#include "storage/images/store.hpp"
#include "storage/registry/client.hpp"
#include "storage/registry/credentials.hpp"
#include "storage/registry/layer_fetch.hpp"
#include "storage/registry/push.hpp"
#include "storage/registry/remote_image.hpp"
#include "storage/registry/search.hpp"
#include "storage/registry/transfer.hpp"
#include "storage/snapshots/layer_store.hpp"

namespace coracle::storage {

// On the loop's thread; outlives its pulls.
class Registry {
 public:
  using Sweep = std::function<Coro<void>()>;
  //   sweep  removes what no image, container or pull needs
  Registry(asio::io_context& io, Workers& workers, RegistryConfig config, BlobStore& blobs,
           LayerStore& layers, ImageStore& images, Sweep sweep);

  // As Storage::pull().
  Task<Image> pull(Reference ref, RegistryAuth auth, Platform platform, ProgressSink sink);
  Task<> pull_all(Reference repository, RegistryAuth auth, Platform platform, ProgressSink sink);
  // As Storage::push(), look_up() and search().
  Task<> push(Reference name, RegistryAuth auth, ProgressSink sink) {
    return pusher_.push(std::move(name), std::move(auth), std::move(sink));
  }
  Task<RemoteImage> look_up(Reference ref, RegistryAuth auth);
  Task<std::vector<SearchResult>> search(std::string term, int limit, RegistryAuth auth) {
    return storage::search(client_, std::move(term), limit, std::move(auth));
  }
  Transfer& transfer() { return transfer_; }
  // Are these credentials good?   errors  unauthorized, in the registry's words
  Task<std::string> login(RegistryAuth auth) { return client_.login(std::move(auth)); }

 private:
  struct Found;
  struct Answered;  // what a registry has under a tag or a digest
  struct Layers;
  struct Order;  // what a client asked for
  Task<Image> pull_order(std::shared_ptr<Order> order);
  Task<std::vector<std::string>> tags_of(Reference repository, RegistryAuth auth);
  Task<std::vector<std::string>> tags_there(RegistryClient::Session session, Reference repository);
  Task<Image> pull_pinned(std::shared_ptr<Order> order);
  Task<Found> find(Reference ref, RegistryAuth auth, Platform platform);
  Task<Answered> ask(RegistryClient::Session session, Reference ref, std::string name);
  Task<RemoteImage> look_up_there(RegistryClient::Session session, Reference ref);
  Task<Found> find_there(RegistryClient::Session session, Reference ref, Platform platform);
  // By the policy: is it what was pinned, and signed?
  Task<> check_trust(std::shared_ptr<Found> found, Reference ref);
  Task<> read_config(std::shared_ptr<Found> found, Reference ref);
  Task<> get_config(std::shared_ptr<Found> found, Reference ref, Platform platform);
  Task<> get_layers(std::shared_ptr<Found> found, std::shared_ptr<Order> order);
  Coro<void> get_layer(LayerJob job, std::shared_ptr<Scope> scope, std::shared_ptr<Layers> all);

  asio::io_context& io_;
  Workers& workers_;
  BlobStore& blobs_;
  LayerStore& layers_;
  ImageStore& images_;
  Sweep sweep_;
  Transfer transfer_;
  RegistryClient client_;
  LayerFetcher fetcher_;
  Pusher pusher_;
};

}  // namespace coracle::storage
