#include "storage/registry/blob_upload.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "engine/base/log.hpp"
#include "storage/content/digest.hpp"
#include "storage/content/gzip.hpp"

namespace coracle::storage {
namespace {

constexpr int kMostUploadCuts = 5;
constexpr int kLongestWait_s = 60;
constexpr std::size_t kUploadQueueBytes = std::size_t{4} << 20;
constexpr std::size_t kPiece = std::size_t{256} << 10;

// What a thread made of a blob: the whole of it, whatever part was sent.
struct Produced {
  std::string digest;
  std::int64_t size = 0;
};

// Lets through what comes after the first `skip` bytes, and counts and hashes all.
class Tail {
 public:
  Tail(UploadQueue& to, std::int64_t skip) : to_(to), skip_(skip) {}
  Result<> write(std::string_view bytes) {
    hash_.update(bytes);
    size_ += static_cast<std::int64_t>(bytes.size());
    const auto skipped = std::min(static_cast<std::int64_t>(bytes.size()), skip_);
    skip_ -= skipped;
    bytes.remove_prefix(static_cast<std::size_t>(skipped));
    return bytes.empty() ? Result<>{} : to_.push(bytes);
  }
  Produced done() { return {hash_.finish(), size_}; }

 private:
  UploadQueue& to_;
  std::int64_t skip_, size_ = 0;
  Sha256 hash_;
};

Result<Produced> send_compressed(const UniqueFd& blob, std::int64_t offset, UploadQueue& to,
                                 const StopFlag& stop,
                                 const std::function<void(std::int64_t)>& read) {
  Tail tail(to, offset);
  Gzip gzip([&tail](std::string_view bytes) { return tail.write(bytes); });
  std::vector<char> buffer(kPiece);
  for (std::int64_t at = 0;;) {
    CHECK(check_stop(stop));
    TRY(const auto n, read_some(blob, buffer));
    if (n == 0) break;
    CHECK(gzip.write({buffer.data(), n}));
    at += static_cast<std::int64_t>(n);
    read(at);
  }
  CHECK(gzip.finish());
  return tail.done();
}

Result<Produced> send_as_it_is(const UniqueFd& blob, std::int64_t offset, UploadQueue& to,
                               const StopFlag& stop,
                               const std::function<void(std::int64_t)>& read) {
  if (::lseek(blob.get(), offset, SEEK_SET) < 0) return sys_error("seek in a blob");
  std::vector<char> buffer(kPiece);
  for (std::int64_t at = offset;;) {
    CHECK(check_stop(stop));
    TRY(const auto n, read_some(blob, buffer));
    if (n == 0) return Produced{"", at};
    CHECK(to.push({buffer.data(), n}));
    at += static_cast<std::int64_t>(n);
    read(at);
  }
}

// -1 for what is none.
std::int64_t number(std::string_view text) {
  std::int64_t out = -1;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, out);
  return read.ec == std::errc{} && read.ptr == end && out >= 0 ? out : -1;
}

// The first byte that is not there yet, of "0-1023" or "bytes=0-1023"; -1 for what cannot be read.
// "0-0" is what registries say of nothing.
std::int64_t end_of_range(std::string_view range) {
  if (range.starts_with("bytes=")) range.remove_prefix(6);
  if (!range.starts_with("0-")) return -1;
  const auto last = number(range.substr(2));
  return last > 0 ? last + 1 : last;
}

bool may_be_tried_again(const HttpResponse& answer) {
  return answer.status >= 500 || answer.status == 429 || answer.status == 408 ||
         answer.status == 416 || answer.status == 401;
}

// Where an upload goes on. A registry whose certificate is verified sends nobody to a host whose
// certificate is not.
Result<std::string> location_in(const HttpResponse& answer, const std::string& asked,
                                const RegistryClient::Session& session) {
  auto location = resolve_url(asked, answer.header("location"));
  if (location.empty() || answer.header("location").empty())
    return fail(Errc::internal, "the registry begins an upload and does not say where");
  if (session.endpoint.verify_tls && !origin_of(location).starts_with("https://"))
    return fail(Errc::forbidden,
                "the registry is reached by https and sends an upload to {}, which is not; nothing "
                "was sent there",
                location.substr(0, 200));
  return location;
}

std::string with_digest(const std::string& location, const std::string& digest) {
  const char separator = location.find('?') == std::string::npos ? '?' : '&';
  return location + separator + "digest=" + url_escape(digest);
}

}  // namespace

struct BlobUploader::Upload {
  Upload(asio::io_context& io, BlobJob j) : job(std::move(j)), scope(io) {}
  BlobJob job;
  Scope scope;              // of the thread that reads the blob
  std::string location;     // "": none is begun
  std::int64_t offset = 0;  // the registry has so much
  std::int64_t moved = 0;   // sent by the last try
  std::int64_t furthest = 0;
  int retry_after_s = 0;
  Error why{Errc::unavailable, 0, "unexpected EOF"};  // of the last cut
  std::shared_ptr<UploadQueue> queue;
  std::shared_ptr<OneShot<>> produced;
  std::optional<Result<Produced>> product;
  UploadedBlob result;
};

Task<bool> BlobUploader::is_there(RegistryClient::Session session, std::string digest) {
  std::string path = "blobs/" + digest;
  std::vector<std::string> any;
  std::string method = "HEAD";
  CO_TRY(const auto answer, co_await client_.get(std::move(session), std::move(path),
                                                 std::move(any), std::move(method)));
  co_return answer.status == 200;
}

// Afterwards there is a location, or the blob is there (result.mounted_from).
Task<> BlobUploader::begin(std::shared_ptr<Upload> upload, std::string from_repository) {
  RegistryClient::Session session = upload->job.session;
  if (!from_repository.empty()) session.scope += " repository:" + from_repository + ":pull";
  HttpRequest request;
  request.method = "POST";
  request.url = session.url("blobs/uploads/");
  if (!from_repository.empty())
    request.url +=
        "?mount=" + url_escape(upload->job.expected) + "&from=" + url_escape(from_repository);
  const std::string asked = request.url;
  CO_TRY(const auto answer, co_await client_.send(session, std::move(request)));
  if (answer.status == 201 && !from_repository.empty()) {
    upload->result.mounted_from = std::move(from_repository);
    co_return Result<>{};
  }
  if (answer.status != 202) co_return std::unexpected(registry_error(answer));
  CO_TRY(upload->location, location_in(answer, asked, session));
  upload->offset = 0;
  co_return Result<>{};
}

// What the registry has of it after a cut; an upload that it no longer knows begins anew.
Task<> BlobUploader::find_offset(std::shared_ptr<Upload> upload) {
  if (upload->location.empty()) co_return co_await begin(upload, std::string{});
  HttpRequest request;
  request.url = upload->location;
  const std::string asked = request.url;
  CO_TRY(const auto answer, co_await client_.send(upload->job.session, std::move(request)));
  if (answer.status != 204 && answer.status != 200 && answer.status != 202) {
    upload->location.clear();
    co_return co_await begin(upload, std::string{});
  }
  upload->offset = end_of_range(answer.header("range"));
  const bool too_far = !upload->job.compress && upload->offset > upload->job.blob_size;
  if (upload->offset < 0 || too_far) co_return co_await begin(upload, std::string{});
  if (!answer.header("location").empty()) {
    CO_TRY(upload->location, location_in(answer, asked, upload->job.session));
  }
  co_return Result<>{};
}

Coro<void> BlobUploader::produce(std::shared_ptr<Upload> upload) {
  auto job = [&blobs = blobs_, digest = upload->job.blob, compress = upload->job.compress,
              offset = upload->offset, queue = upload->queue, &io = io_,
              weak = std::weak_ptr(upload)](const StopFlag& stop) -> Result<Produced> {
    const std::function<void(std::int64_t)> read = [&io, weak](std::int64_t at) {
      asio::post(io, [weak, at] {
        if (const auto u = weak.lock(); u && u->job.progress) u->job.progress(at);
      });
    };
    const auto all = [&]() -> Result<Produced> {
      TRY(const auto blob, blobs.open(digest));
      return compress ? send_compressed(blob, offset, *queue, stop, read)
                      : send_as_it_is(blob, offset, *queue, stop, read);
    };
    auto made = all();
    queue->end(made ? Result<>{} : std::unexpected(made.error()));
    return made;
  };
  ThreadOwner owner(Lane::peers, "push");
  auto made = co_await run_on_thread(io_, std::move(job), std::move(owner));
  // There was no place, or no thread.
  if (!made) upload->queue->end(std::unexpected(made.error()));
  upload->product = std::move(made);
  upload->produced->set();
}

// One try to send the rest. True: all of it is there.   errors  those that end the upload
Task<bool> BlobUploader::stream(std::shared_ptr<Upload> upload) {
  const auto& job = upload->job;
  upload->queue = std::make_shared<UploadQueue>(kUploadQueueBytes);
  upload->produced = std::make_shared<OneShot<>>(io_);
  upload->product.reset();
  upload->moved = 0;
  upload->scope.start("read a blob that is pushed", produce(upload));
  HttpRequest request;
  request.method = "PATCH";
  request.url = upload->location;
  request.headers.emplace_back("Content-Type: application/octet-stream");
  std::int64_t length = -1;
  if (!job.compress) {
    length = job.blob_size - upload->offset;
    request.headers.push_back(
        fmt::format("Content-Range: {}-{}", upload->offset, job.blob_size - 1));
  }
  const std::string asked = request.url;
  std::function<void(std::size_t)> sent = [upload](std::size_t n) {
    upload->moved += static_cast<std::int64_t>(n);
  };
  auto answer = co_await client_.upload(job.session, std::move(request), upload->queue, length,
                                        std::move(sent));
  const bool unreadable = upload->queue->has_failed();
  upload->queue->leave();
  const bool read = co_await upload->produced->wait();
  if (!read) co_return fail(Errc::unavailable, "the push was cancelled");
  if (answer && answer->status >= 200 && answer->status < 300 && *upload->product) {
    if (!answer->header("location").empty()) {
      CO_TRY(upload->location, location_in(*answer, asked, job.session));
    }
    co_return true;
  }
  upload->why = answer ? registry_error(*answer) : answer.error();
  upload->retry_after_s = 0;
  if (answer && !may_be_tried_again(*answer)) co_return std::unexpected(upload->why);
  if (answer) {
    const auto after = number(answer->header("retry-after"));
    upload->retry_after_s = static_cast<int>(std::clamp<std::int64_t>(after, 0, kLongestWait_s));
  }
  // A blob that cannot be read is no fault of the network's.
  if (!answer && unreadable) co_return std::unexpected(upload->queue->why());
  co_return false;
}

Task<HttpResponse> BlobUploader::finish(RegistryClient::Session session, std::string location,
                                        std::string digest, std::string body) {
  HttpRequest request;
  request.method = "PUT";
  request.url = with_digest(location, digest);
  request.headers.emplace_back("Content-Type: application/octet-stream");
  request.body = std::move(body);
  return client_.send(std::move(session), std::move(request));
}

Task<> BlobUploader::send_all(std::shared_ptr<Upload> upload) {
  for (int cuts = 0;;) {
    bool all = false;
    if (!upload->location.empty()) {
      CO_TRY(all, co_await stream(upload));
    }
    if (all) {
      auto& [digest, size, sent, mounted] = upload->result;
      digest = upload->job.compress ? (*upload->product)->digest : upload->job.blob;
      size = (*upload->product)->size;
      sent = true;
      CO_TRY(const auto answer,
             co_await finish(upload->job.session, upload->location, digest, std::string{}));
      if (answer.status == 201 || answer.status == 204) co_return Result<>{};
      if (!may_be_tried_again(answer)) co_return std::unexpected(registry_error(answer));
      upload->why = registry_error(answer);
    }
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
      co_return fail(Errc::unavailable, "the push was cancelled");
    if (upload->offset + upload->moved > upload->furthest) {
      upload->furthest = upload->offset + upload->moved;
      cuts = 0;
    }
    if (++cuts > kMostUploadCuts) co_return std::unexpected(upload->why.as(Errc::internal));
    log::info("upload cut, will resume digest={} reason={}", upload->job.blob, upload->why.message);
    int left = std::max(retry_ms_ << (cuts - 1), upload->retry_after_s * 1000);
    while (left > 0) {
      const int seconds = (left + 999) / 1000;
      if (upload->job.say)
        upload->job.say(fmt::format("Retrying in {} second{}", seconds, seconds == 1 ? "" : "s"));
      const int step = std::min(left, 1000);
      asio::steady_timer timer(io_, std::chrono::milliseconds(step));
      const auto [ec] = co_await timer.async_wait(kToken);
      if (ec) co_return fail(Errc::unavailable, "the push was cancelled");
      left -= step;
    }
    auto found = co_await find_offset(upload);
    if (!found) {  // counted as a cut too, and asked again
      upload->why = found.error();
      upload->location.clear();
      upload->moved = 0;
    }
  }
}

Task<UploadedBlob> BlobUploader::upload(BlobJob job) {
  const auto upload = std::make_shared<Upload>(io_, std::move(job));
  const auto& asked = upload->job;
  upload->result.digest = asked.expected;
  upload->result.size = asked.expected_size;
  if (!asked.expected.empty()) {
    CO_TRY(const bool there, co_await is_there(asked.session, asked.expected));
    if (there) co_return upload->result;
    for (const auto& repository : asked.repositories) {
      // A registry that does not show us that repository refuses: then the layer is sent.
      const auto begun = co_await begin(upload, repository);
      if (!begun) log::debug("not mounted from={} reason={}", repository, begun.error().message);
      if (!upload->result.mounted_from.empty()) co_return upload->result;
      if (!upload->location.empty()) break;
    }
  }
  if (upload->location.empty()) CO_CHECK(co_await begin(upload, std::string{}));
  auto done = co_await send_all(upload);
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  if (upload->queue) upload->queue->leave();
  co_await upload->scope.close();
  if (!done) co_return std::unexpected(done.error().within("push {}", asked.blob));
  co_return upload->result;
}

Task<UploadedBlob> BlobUploader::upload_bytes(RegistryClient::Session session, std::string bytes) {
  UploadedBlob out;
  out.digest = sha256_of(bytes);
  out.size = static_cast<std::int64_t>(bytes.size());
  CO_TRY(const bool there, co_await is_there(session, out.digest));
  if (there) co_return out;
  BlobJob job;
  job.session = session;
  const auto upload = std::make_shared<Upload>(io_, std::move(job));
  CO_CHECK(co_await begin(upload, std::string{}));
  CO_TRY(const auto answer,
         co_await finish(std::move(session), upload->location, out.digest, std::move(bytes)));
  if (answer.status != 201 && answer.status != 204)
    co_return std::unexpected(registry_error(answer));
  out.sent = true;
  co_return out;
}

}  // namespace coracle::storage
