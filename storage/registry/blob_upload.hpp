// One blob on its way into a repository: asked for, mounted from another repository of the same
// registry, or uploaded in one stream (POST, PATCH, PUT of the distribution-spec). A cut is resumed
// where the registry says that it stopped, after a wait that doubles; five cuts without a byte in
// between end it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/async/own_thread.hpp"
#include "engine/base/result.hpp"
#include "storage/content/blob_store.hpp"
#include "storage/content/upload_queue.hpp"
#include "storage/registry/client.hpp"

namespace coracle::storage {

struct UploadedBlob {
  std::string digest;
  std::int64_t size = 0;
  bool sent = false;         // it was not there before
  std::string mounted_from;  // the repository that had it
};

struct BlobJob {
  RegistryClient::Session session;
  std::string blob;  // in the store
  std::int64_t blob_size = 0;
  bool compress = false;  // it is a plain tar and goes as gzip
  std::string expected;   // what it is there: its digest; "": not known yet
  std::int64_t expected_size = 0;
  std::vector<std::string> repositories;  // of the same registry: may have it
  // Of the blob in the store, from its beginning; after a cut it may start again from less.
  std::function<void(std::int64_t)> progress;
  std::function<void(const std::string&)> say;
};

// On the loop's thread; outlives its uploads.
class BlobUploader {
 public:
  BlobUploader(asio::io_context& io, RegistryClient& client, BlobStore& blobs, int retry_ms)
      : io_(io), client_(client), blobs_(blobs), retry_ms_(retry_ms) {}

  //   errors  the registry's, in its words; those of the store
  Task<UploadedBlob> upload(BlobJob job);
  // The same for bytes that are at hand.
  Task<UploadedBlob> upload_bytes(RegistryClient::Session session, std::string bytes);

 private:
  struct Upload;
  Task<bool> is_there(RegistryClient::Session session, std::string digest);
  Task<> begin(std::shared_ptr<Upload> upload, std::string from_repository);
  Task<> find_offset(std::shared_ptr<Upload> upload);
  Task<bool> stream(std::shared_ptr<Upload> upload);
  Task<HttpResponse> finish(RegistryClient::Session session, std::string location,
                            std::string digest, std::string body);
  Coro<void> produce(std::shared_ptr<Upload> upload);
  Task<> send_all(std::shared_ptr<Upload> upload);

  asio::io_context& io_;
  RegistryClient& client_;
  BlobStore& blobs_;
  int retry_ms_;
};

}  // namespace coracle::storage
