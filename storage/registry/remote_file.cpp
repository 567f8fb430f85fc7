#include "storage/registry/remote_file.hpp"

#include <memory>
#include <optional>
#include <utility>

#include "engine/base/async/own_thread.hpp"
#include "storage/content/byte_queue.hpp"
#include "storage/registry/pull_progress.hpp"

namespace coracle::storage {
namespace {

constexpr std::size_t kFileQueueBytes = std::size_t{4} << 20;

struct Reading {
  Reading(asio::io_context& io, std::string from, ProgressSink sink)
      : url(std::move(from)),
        progress(std::move(sink)),
        queue(std::make_shared<ByteQueue>(kFileQueueBytes)),
        ended(io) {}
  std::string url;
  PullProgress progress;
  std::shared_ptr<ByteQueue> queue;
  std::int64_t received = 0;
  OneShot<> ended;
  std::optional<Result<Image>> result;

  void add_received(std::size_t bytes) {
    if (received == 0) progress.say("", "Downloading from " + url);
    received += static_cast<std::int64_t>(bytes);
    progress.bar("", "Importing", received, 0);
  }
};

Error refused(const HttpResponse& answer, const std::string& url) {
  Errc code = Errc::internal;
  switch (answer.status) {
    case 400: code = Errc::invalid_argument; break;
    case 401: code = Errc::unauthorized; break;
    case 403: code = Errc::forbidden; break;
    case 404: code = Errc::not_found; break;
    default: break;
  }
  return {code, 0,
          fmt::format("failed to GET {} with status {}: {}", url, answer.status, answer.body)};
}

Error no_answer(const Error& why, const std::string& url) {
  const auto code = why.code == Errc::not_found ? Errc::not_found : Errc::internal;
  return why.as(code).within("Get \"{}\"", url);
}

Coro<void> download(Transfer& transfer, std::shared_ptr<Reading> reading) {
  HttpRequest request;
  request.url = reading->url;
  std::function<void(std::size_t)> count = [reading](std::size_t n) { reading->add_received(n); };
  auto answer = co_await transfer.stream(std::move(request), 0, reading->queue, std::move(count));
  if (!answer)
    reading->queue->end(std::unexpected(no_answer(answer.error(), reading->url)));
  else if (answer->status != 200)
    reading->queue->end(std::unexpected(refused(*answer, reading->url)));
  else
    reading->queue->end({});
}

Coro<void> use_it(asio::io_context& io, std::shared_ptr<Reading> reading, RemoteFileUse use) {
  auto job = [queue = reading->queue, use = std::move(use)](const StopFlag& stop) -> Result<Image> {
    auto used = use(*queue, stop);
    queue->leave();
    return used;
  };
  ThreadOwner owner(Lane::peers, "import");
  auto used = co_await run_on_thread(io, std::move(job), std::move(owner));
  reading->queue->leave();  // there was no place, or no thread
  reading->result = std::move(used);
  reading->ended.set();
}

}  // namespace

Result<std::string> remote_file_url(const std::string& text) {
  const std::string url = text.find("://") == std::string::npos ? "http://" + text : text;
  const std::string origin = origin_of(url);
  const bool http = origin.starts_with("http://") || origin.starts_with("https://");
  if (!http || url.find(":///") != std::string::npos)  // libcurl would take a name of the path
    return fail(Errc::invalid_argument,
                "invalid source \"{}\": an archive is imported from - (the request's body) or from "
                "an http or https URL",
                text);
  return url;
}

Task<Image> use_remote_file(asio::io_context& io, Transfer& transfer, std::string url,
                            RemoteFileUse use, ProgressSink sink) {
  const auto reading = std::make_shared<Reading>(io, std::move(url), std::move(sink));
  const auto scope = std::make_shared<Scope>(io);
  scope->start("download a file", download(transfer, reading));
  scope->start("read a file that arrives", use_it(io, reading, std::move(use)));
  const bool finished = co_await reading->ended.wait();
  // The reader may wait for bytes: it is the queue that tells it.
  reading->queue->end(fail(Errc::unavailable, "the download was cancelled"));
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await scope->close();
  reading->progress.end();
  if (!finished) co_return fail(Errc::unavailable, "the download was cancelled");
  co_return *std::move(reading->result);
}

}  // namespace coracle::storage
