// Pushes: an image of the store, under one name, into a registry.
//   layers, several at a time -> configuration -> manifest -> the image has a digest there.
// The manifest is the very one that the image came with; one that was made here (commit, import,
// archives without a manifest) is Docker's schema 2 with gzip layers, or OCI's where the registry
// wants that. What a layer became there is kept, so that it is compressed once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/content/blob_store.hpp"
#include "storage/content/progress.hpp"
#include "storage/images/store.hpp"
#include "storage/registry/blob_upload.hpp"
#include "storage/registry/client.hpp"
#include "storage/registry/pull_progress.hpp"
#include "storage/snapshots/layer_store.hpp"

namespace coracle::storage {

// On the loop's thread; outlives its pushes.
class Pusher {
 public:
  Pusher(asio::io_context& io, Workers& workers, RegistryClient& client, RegistryConfig config,
         BlobStore& blobs, LayerStore& layers, ImageStore& images);

  // As Storage::push().
  Task<> push(Reference name, RegistryAuth auth, ProgressSink sink);

 private:
  struct Order;
  struct Places;
  Task<> push_pinned(std::shared_ptr<Order> order);
  Task<RegistryClient::Session> connect(std::shared_ptr<Order> order);
  Task<> push_layers(std::shared_ptr<Order> order);
  Coro<void> push_layer(std::shared_ptr<Order> order, std::size_t at);
  Task<> push_one(std::shared_ptr<Order> order, std::size_t at);
  Task<std::string> put_manifest(std::shared_ptr<Order> order);

  asio::io_context& io_;
  Workers& workers_;
  RegistryClient& client_;
  RegistryConfig config_;
  LayerStore& layers_;
  BlobStore& blobs_;
  ImageStore& images_;
  BlobUploader uploader_;
  std::shared_ptr<Places> places_;
};

}  // namespace coracle::storage
