#include "storage/registry/layer_fetch.hpp"

#include <algorithm>
#include <utility>

#include "engine/base/log.hpp"
#include "storage/content/byte_queue.hpp"

namespace coracle::storage {
namespace {

constexpr int kAtOnce = 3;  // Docker's max-concurrent-downloads
constexpr int kMostCuts = 5;
constexpr std::size_t kQueueBytes = std::size_t{4} << 20;

class BlobSource final : public LayerSource {
 public:
  explicit BlobSource(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<std::size_t> read(std::span<char> into) override { return read_some(fd_, into); }

 private:
  UniqueFd fd_;
};

}  // namespace

struct LayerFetcher::Flight {
  explicit Flight(asio::io_context& io)
      : done(io), queue(std::make_shared<ByteQueue>(kQueueBytes)) {}
  Signal done;
  bool finished = false;
  bool downloaded = false;
  std::int64_t received = 0;
  std::int64_t size = 0;
  std::shared_ptr<ByteQueue> queue;
  struct Watcher {
    std::shared_ptr<PullProgress> progress;
    std::string shown;
  };
  std::vector<Watcher> watchers;  // the pull that flies it, and those that wait for it

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
    if (downloaded && !finished) bar("Extracting", std::min(bytes, size));
  }
};

struct LayerFetcher::Flights {
  explicit Flights(asio::io_context& io) : place_free(io) {}
  std::map<std::string, std::shared_ptr<Flight>> by_digest;
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
      flights_(std::make_shared<Flights>(io)),
      workers_(io, kAtOnce) {}

LayerFetcher::~LayerFetcher() {
  // The workers that wait for bytes are told that none will come.
  for (const auto& [digest, flight] : flights_->by_digest)
    flight->queue->end(fail(Errc::unavailable, "the store is closing"));
}

Task<> LayerFetcher::fetch(LayerJob job, std::shared_ptr<Scope> scope) {
  const auto flights = flights_;
  for (;;) {
    if (layers_.has(job.chain_id)) {
      job.progress->say(job.shown, "Pull complete");
      co_return Result<>{};
    }
    const auto other = flights->by_digest.find(job.blob.digest);
    if (other == flights->by_digest.end()) break;
    const auto flight = other->second;
    flight->watchers.push_back({job.progress, job.shown});
    while (!flight->finished) {
      if (!co_await flight->done.wait())
        co_return fail(Errc::unavailable, "the pull was cancelled");
    }
    // Next round: it is there, or its blob is, or that pull has failed and this one flies.
  }
  auto flight = std::make_shared<Flight>(io_);
  flight->size = job.blob.size;
  flight->watchers.push_back({job.progress, job.shown});
  flights->by_digest[job.blob.digest] = flight;
  struct Land {
    std::shared_ptr<Flights> flights;
    std::shared_ptr<Flight> flight;
    std::string digest;
    ~Land() {
      flight->finished = true;
      flights->by_digest.erase(digest);
      flight->done.notify_all();
    }
  };
  const Land land{flights, flight, job.blob.digest};
  const std::string digest = job.blob.digest;
  auto flown = co_await fly(std::move(job), std::move(scope), flight);
  if (!flown) co_return std::unexpected(flown.error().within("pull layer {}", digest));
  flight->say("Pull complete");
  co_return flown;
}

Task<> LayerFetcher::fly(LayerJob job, std::shared_ptr<Scope> scope,
                         std::shared_ptr<Flight> flight) {
  const auto flights = flights_;
  if (flights->taken >= kAtOnce) flight->say("Waiting");
  while (flights->taken >= kAtOnce) {
    if (!co_await flights->place_free.wait())
      co_return fail(Errc::unavailable, "the pull was cancelled");
  }
  struct Place {
    std::shared_ptr<Flights> flights;
    explicit Place(std::shared_ptr<Flights> f) : flights(std::move(f)) { ++flights->taken; }
    ~Place() {
      --flights->taken;
      flights->place_free.notify_all();
    }
  };
  const Place place(flights);
  LayerRequest request;
  request.blob = job.blob;
  request.diff_id = job.diff_id;
  request.parent = job.parent;
  request.unpacked = [&io = io_, weak = std::weak_ptr(flight)](std::int64_t bytes) {
    asio::post(io, [weak, bytes] {
      if (const auto f = weak.lock()) f->unpacked(bytes);
    });
  };
  if (blobs_.has(job.blob.digest)) {
    flight->downloaded = true;
    flight->say("Download complete");
    auto unpack = [this, request](const StopFlag& stop) mutable -> Result<> {
      request.stop = &stop;
      TRY(auto fd, blobs_.open(request.blob.digest));
      BlobSource source(std::move(fd));
      TRY(const auto info, layers_.ingest(request, source));
      return {};
    };
    co_return co_await workers_.run(std::move(unpack));
  }
  auto unpack = [this, request, queue = flight->queue](const StopFlag& stop) mutable -> Result<> {
    request.stop = &stop;  // what has arrived is not unpacked to its end for nobody
    auto info = layers_.ingest(request, *queue);
    queue->leave();
    if (!info) return std::unexpected(info.error());
    return {};
  };
  scope->start("download a layer", download(std::move(job), flight));
  co_return co_await workers_.run(std::move(unpack));
}

Coro<void> LayerFetcher::download(LayerJob job, std::shared_ptr<Flight> flight) {
  // However this ends, the reader hears of it.
  struct End {
    std::shared_ptr<ByteQueue> queue;
    ~End() { queue->end(fail(Errc::unavailable, "the pull was cancelled")); }
  };
  const End end{flight->queue};
  auto done = co_await download_all(std::move(job), flight);
  flight->queue->end(std::move(done));
}

Task<> LayerFetcher::download_all(LayerJob job, std::shared_ptr<Flight> flight) {
  for (int cuts = 0;;) {
    const std::int64_t before = flight->received;
    std::function<void(std::size_t)> count = [flight](std::size_t n) { flight->add_received(n); };
    auto answer = co_await client_.get_blob(job.session, job.blob.digest, before, flight->queue,
                                            std::move(count));
    const bool came = answer && (answer->status == 200 || answer->status == 206);
    if (came && flight->received >= flight->size) {
      flight->downloaded = true;
      flight->say("Verifying Checksum");
      flight->say("Download complete");
      co_return Result<>{};
    }
    Error why{Errc::unavailable, 0, "unexpected EOF"};
    if (!answer) why = answer.error();
    if (answer && !came) why = pull_error(*answer, job.ref, !job.session.auth.username.empty());
    const auto state = co_await asio::this_coro::cancellation_state;
    const bool cancelled = state.cancelled() != asio::cancellation_type::none;
    const bool final =
        !came && answer && answer->status < 500 && answer->status != 429 && answer->status != 408;
    const bool too_long = flight->received > flight->size;
    if (cancelled || final || too_long || flight->queue->reader_left())
      co_return std::unexpected(why);
    if (flight->received > before) cuts = 0;
    if (++cuts > kMostCuts) co_return std::unexpected(why.as(Errc::internal));
    log::info("layer cut, will resume digest={} at={} reason={}", job.blob.digest, flight->received,
              why.message);
    CO_CHECK(co_await wait_to_retry(flight, cuts));
  }
}

Task<> LayerFetcher::wait_to_retry(std::shared_ptr<Flight> flight, int attempt) {
  int left = config_.retry_ms << (attempt - 1);
  while (left > 0) {
    const int seconds = (left + 999) / 1000;
    flight->say(fmt::format("Retrying in {} second{}", seconds, seconds == 1 ? "" : "s"));
    const int step = std::min(left, 1000);
    asio::steady_timer timer(io_, std::chrono::milliseconds(step));
    const auto [ec] = co_await timer.async_wait(kToken);
    if (ec) co_return fail(Errc::unavailable, "the pull was cancelled");
    left -= step;
  }
  co_return Result<>{};
}

}  // namespace coracle::storage
