// One layer of a pull: downloaded on the loop, unpacked on a worker while it still arrives, with a
// ByteQueue between the two. At most three at a time, whatever number of pulls. A cut is resumed
// where it happened, after a wait that doubles; five cuts without a byte in between end it.
//
// Two pulls that want the same blob share one download: the second watches the first, and goes on
// by itself if that one is cancelled.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/content/blob_store.hpp"
#include "storage/registry/client.hpp"
#include "storage/registry/pull_progress.hpp"
#include "storage/snapshots/layer_store.hpp"

namespace coracle::storage {

struct LayerJob {
  RegistryClient::Session session;
  Reference ref;  // for messages
  Descriptor blob;
  std::string diff_id, parent, chain_id;
  std::string shown;       // the id in progress lines
  bool blob_only = false;  // the layer is there, but for its blob
  std::shared_ptr<PullProgress> progress;
};

// On the loop's thread.
class LayerFetcher {
 public:
  LayerFetcher(asio::io_context& io, RegistryClient& client, RegistryConfig config,
               BlobStore& blobs, LayerStore& layers);
  ~LayerFetcher();
  LayerFetcher(const LayerFetcher&) = delete;
  LayerFetcher& operator=(const LayerFetcher&) = delete;

  // Returns when the layer is in the store. `scope` owns the download: cancelling it ends the
  // fetch.
  Task<> fetch(LayerJob job, std::shared_ptr<Scope> scope);

 private:
  struct Download;   // a blob on its way
  struct Downloads;  // all of them, and the places; outlives the coroutines that end theirs
  Task<> fetch_once(LayerJob job, std::shared_ptr<Scope> scope, std::shared_ptr<Download> download);
  [[nodiscard]] bool is_there(const LayerJob& job) const;
  Coro<void> receive(LayerJob job, std::shared_ptr<Download> download);
  Task<> receive_all(LayerJob job, std::shared_ptr<Download> download);
  Task<HttpResponse> ask(std::shared_ptr<const LayerJob> job, std::shared_ptr<Download> download,
                         std::size_t place);
  Task<> wait_to_retry(std::shared_ptr<Download> download, int attempt);

  asio::io_context& io_;
  RegistryClient& client_;
  RegistryConfig config_;
  BlobStore& blobs_;
  LayerStore& layers_;
  std::shared_ptr<Downloads> downloads_;
  Workers workers_;  // of its own: they sit and wait for the network
};

}  // namespace coracle::storage
