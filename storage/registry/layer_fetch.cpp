#include "storage/registry/layer_fetch.hpp"

#include <algorithm>
#include <utility>

#include "engine/base/defer.hpp"
#include "engine/base/log.hpp"
#include "storage/content/byte_queue.hpp"

namespace coracle::storage {
namespace {

constexpr int kAtOnce = 3;  // Docker's max-concurrent-downloads
constexpr int kMostCuts = 5;
constexpr std::size_t kQueueBytes = std::size_t{4} << 20;

constexpr std::size_t kMostUrls = 4;  // of a foreign layer, that are tried

// A blob that is kept as it comes, and not unpacked.
Result<> keep_blob(BlobStore& blobs, const std::string& digest, ByteSource& from,
                   const StopFlag& stop) {
  TRY(auto writer, blobs.begin());
  std::string piece(std::size_t{64} << 10, '\0');
  for (;;) {
    CHECK(check_stop(stop));
    TRY(const auto n, from.read(piece));
    if (n == 0) break;
    CHECK(writer.write({piece.data(), n}));
  }
  TRY(const auto kept, writer.commit(digest));
  return {};
}

class BlobSource final : public LayerSource {
 public:
  explicit BlobSource(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<std::size_t> read(std::span<char> into) override { return read_some(fd_, into); }

 private:
  UniqueFd fd_;
};

}  // namespace

struct LayerFetcher::Download {
  explicit Download(asio::io_context& io)
      : done(io), queue(std::make_shared<ByteQueue>(kQueueBytes)) {}
  OneShot<> done;
  bool downloaded = false;
  std::int64_t received = 0;
  std::int64_t size = 0;
  std::shared_ptr<ByteQueue> queue;
  struct Watcher {
    std::shared_ptr<PullProgress> progress;
    std::string shown;
  };
  std::vector<Watcher> watchers;  // the pull that fetches it, and those that wait for it

  void say(const std::string& status) const {
    for (const auto& w : watchers) w.progress->say(w.shown, status);
  }
  void bar(const std::string& status, std::int64_t current) const {
    for (const auto& w : watchers) w.progress->bar(w.shown, status, current, size);
  }
  void add_received(std::size_t n) {
    received += static_cast<std::int64_t>(n);
    if (received > size)
      queue->end(fail(Errc::invalid_argument,
                      "it is longer than the {} bytes that its manifest says", size));
    bar("Downloading", received);
  }
  void unpacked(std::int64_t bytes) const {
    if (downloaded && !done.is_set()) bar("Extracting", std::min(bytes, size));
  }
};

struct LayerFetcher::Downloads {
  explicit Downloads(asio::io_context& io) : place_free(io) {}
  std::map<std::string, std::shared_ptr<Download>> by_digest;
  Signal place_free;
  int taken = 0;
};

LayerFetcher::LayerFetcher(asio::io_context& io, RegistryClient& client, RegistryConfig config,
                           BlobStore& blobs, LayerStore& layers)
    : io_(io),
      client_(client),
      config_(std::move(config)),
      blobs_(blobs),
      layers_(layers),
      downloads_(std::make_shared<Downloads>(io)),
      workers_(io, kAtOnce) {}

LayerFetcher::~LayerFetcher() {
  // The workers that wait for bytes are told that none will come.
  for (const auto& [digest, download] : downloads_->by_digest)
    download->queue->end(fail(Errc::unavailable, "the store is closing"));
}

bool LayerFetcher::is_there(const LayerJob& job) const {
  return layers_.has(job.chain_id) && (!job.blob_only || blobs_.has(job.blob.digest));
}

Task<> LayerFetcher::fetch(LayerJob job, std::shared_ptr<Scope> scope) {
  const auto downloads = downloads_;
  for (;;) {
    if (is_there(job)) {
      job.progress->say(job.shown, "Pull complete");
      co_return Result<>{};
    }
    const auto other = downloads->by_digest.find(job.blob.digest);
    if (other == downloads->by_digest.end()) break;
    const auto download = other->second;
    download->watchers.push_back({job.progress, job.shown});
    const bool done = co_await download->done.wait();
    if (!done) co_return fail(Errc::unavailable, "the pull was cancelled");
    // Next round: it is there, or its blob is, or that pull has failed and this one goes for it.
  }
  auto download = std::make_shared<Download>(io_);
  download->size = job.blob.size;
  download->watchers.push_back({job.progress, job.shown});
  downloads->by_digest[job.blob.digest] = download;
  const std::string digest = job.blob.digest;
  const Defer end([downloads, download, digest] {
    downloads->by_digest.erase(digest);
    download->done.set();
  });
  auto fetched = co_await fetch_once(std::move(job), std::move(scope), download);
  if (!fetched) co_return std::unexpected(fetched.error().within("pull layer {}", digest));
  download->say("Pull complete");
  co_return fetched;
}

Task<> LayerFetcher::fetch_once(LayerJob job, std::shared_ptr<Scope> scope,
                                std::shared_ptr<Download> download) {
  const auto downloads = downloads_;
  if (downloads->taken >= kAtOnce) download->say("Waiting");
  while (downloads->taken >= kAtOnce) {
    if (!co_await downloads->place_free.wait())
      co_return fail(Errc::unavailable, "the pull was cancelled");
  }
  ++downloads->taken;
  const Defer leave([downloads] {
    --downloads->taken;
    downloads->place_free.notify_all();
  });
  LayerRequest request;
  request.blob = job.blob;
  request.diff_id = job.diff_id;
  request.parent = job.parent;
  request.unpacked = [&io = io_, weak = std::weak_ptr(download)](std::int64_t bytes) {
    asio::post(io, [weak, bytes] {
      if (const auto f = weak.lock()) f->unpacked(bytes);
    });
  };
  if (blobs_.has(job.blob.digest)) {
    download->downloaded = true;
    download->say("Download complete");
    auto unpack = [this, request](const StopFlag& stop) mutable -> Result<> {
      request.stop = &stop;
      TRY(auto fd, blobs_.open(request.blob.digest));
      BlobSource source(std::move(fd));
      TRY(const auto info, layers_.ingest(request, source));
      return {};
    };
    co_return co_await workers_.run(std::move(unpack));
  }
  if (job.blob_only) {
    auto keep = [&blobs = blobs_, digest = job.blob.digest,
                 queue = download->queue](const StopFlag& stop) {
      auto kept = keep_blob(blobs, digest, *queue, stop);
      queue->leave();
      return kept;
    };
    scope->start("download a blob", receive(std::move(job), download));
    co_return co_await workers_.run(std::move(keep));
  }
  auto unpack = [this, request, queue = download->queue](const StopFlag& stop) mutable -> Result<> {
    request.stop = &stop;  // what has arrived is not unpacked to its end for nobody
    auto info = layers_.ingest(request, *queue);
    queue->leave();
    if (!info) return std::unexpected(info.error());
    return {};
  };
  scope->start("download a layer", receive(std::move(job), download));
  co_return co_await workers_.run(std::move(unpack));
}

Coro<void> LayerFetcher::receive(LayerJob job, std::shared_ptr<Download> download) {
  // However this ends, the reader hears of it.
  const Defer end(
      [queue = download->queue] { queue->end(fail(Errc::unavailable, "the pull was cancelled")); });
  auto done = co_await receive_all(std::move(job), download);
  download->queue->end(std::move(done));
}

//   place  0: the registry; then the layer's own URLs
Task<HttpResponse> LayerFetcher::ask(std::shared_ptr<const LayerJob> job,
                                     std::shared_ptr<Download> download, std::size_t place) {
  const std::int64_t before = download->received;
  std::function<void(std::size_t)> count = [download](std::size_t n) { download->add_received(n); };
  if (place == 0) {
    co_return co_await client_.get_blob(job->session, job->blob.digest, before, download->queue,
                                        std::move(count));
  }
  std::string url = (*job->blob.urls)[place - 1];
  co_return co_await client_.get_elsewhere(job->session, std::move(url), before, download->queue,
                                           std::move(count));
}

Task<> LayerFetcher::receive_all(LayerJob wanted, std::shared_ptr<Download> download) {
  const auto shared = std::make_shared<const LayerJob>(std::move(wanted));
  const LayerJob& job = *shared;
  const std::size_t urls =
      is_foreign(job.blob) && job.blob.urls ? std::min(job.blob.urls->size(), kMostUrls) : 0;
  std::size_t place = 0;
  for (int cuts = 0;;) {
    const std::int64_t before = download->received;
    auto answer = co_await ask(shared, download, place);
    const bool came = answer && (answer->status == 200 || answer->status == 206);
    if (came && download->received >= download->size) {
      download->downloaded = true;
      download->say("Verifying Checksum");
      download->say("Download complete");
      co_return Result<>{};
    }
    Error why{Errc::unavailable, 0, "unexpected EOF"};
    if (!answer) why = answer.error();
    if (answer && !came) why = pull_error(*answer, job.ref, !job.session.auth.username.empty());
    const auto state = co_await asio::this_coro::cancellation_state;
    const bool cancelled = state.cancelled() != asio::cancellation_type::none;
    const bool refused =
        answer && !came && answer->status < 500 && answer->status != 429 && answer->status != 408;
    const bool final = refused || (!answer && answer.error().code == Errc::invalid_argument);
    const bool too_long = download->received > download->size;
    if (cancelled || too_long || download->queue->reader_left()) co_return std::unexpected(why);
    if (download->received > before) cuts = 0;
    if (final || ++cuts > kMostCuts) {
      if (place == urls) co_return std::unexpected(final ? why : why.as(Errc::internal));
      ++place;
      cuts = 0;
      continue;
    }
    log::info("layer cut, will resume digest={} at={} reason={}", job.blob.digest,
              download->received, why.message);
    CO_CHECK(co_await wait_to_retry(download, cuts));
  }
}

Task<> LayerFetcher::wait_to_retry(std::shared_ptr<Download> download, int attempt) {
  int left = config_.retry_ms << (attempt - 1);
  while (left > 0) {
    const int seconds = (left + 999) / 1000;
    download->say(fmt::format("Retrying in {} second{}", seconds, seconds == 1 ? "" : "s"));
    const int step = std::min(left, 1000);
    asio::steady_timer timer(io_, std::chrono::milliseconds(step));
    const auto [ec] = co_await timer.async_wait(kToken);
    if (ec) co_return fail(Errc::unavailable, "the pull was cancelled");
    left -= step;
  }
  co_return Result<>{};
}

}  // namespace coracle::storage
