#include "storage/registry/transfer.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include <curl/curl.h>

#include "engine/base/log.hpp"
#include "engine/base/text.hpp"

namespace coracle::storage {
namespace {

constexpr long kConnectTimeout_s = 30;
constexpr long kStall_s = 60;  // no byte for so long: a cut
constexpr long kMostRedirects = 10;
constexpr long kSmallBody_s = 300;  // for all of a token, manifest or configuration
constexpr std::size_t kMostHeaders = std::size_t{1} << 20;  // of all responses to one request
constexpr std::size_t kErrorBody = 64U << 10;
constexpr long kBufferSize = 256L << 10;

std::string part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
  std::string out(text);
  curl_free(text);
  return out;
}

std::string host_of(const std::string& url) {
  auto at = url.find("://");
  at = at == std::string::npos ? 0 : at + 3;
  return url.substr(at, url.find_first_of("/?#", at) - at);
}

// The proxy that the environment names for this URL; "" lets libcurl look for itself, which leaves
// out HTTP_PROXY in capitals.
std::string upper_case_proxy(const std::string& url) {
  if (!url.starts_with("http://") || std::getenv("http_proxy") != nullptr) return {};
  const char* proxy = std::getenv("HTTP_PROXY");
  return proxy != nullptr ? proxy : "";
}

// The failure in the words of Go's net package, which people and tools know from Docker.
std::string words_for(CURLcode code, CURL* easy, const char* detail) {
  const char* url = nullptr;
  char* ip = nullptr;
  long port = 0;
  long reason = 0;
  curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
  curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &ip);
  curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port);
  curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &reason);
  const std::string host = host_of(url != nullptr ? url : "");
  const std::string address =
      ip != nullptr && *ip != 0 && port != 0 ? fmt::format("{}:{}", ip, port) : host;
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return fmt::format("dial tcp: lookup {}: no such host",
                         host.substr(0, host.find_last_of(':')));
    case CURLE_COULDNT_RESOLVE_PROXY: return fmt::format("proxyconnect tcp: {}", detail);
    case CURLE_COULDNT_CONNECT: {
      const auto why = errno_text(reason != 0 ? static_cast<int>(reason) : ECONNREFUSED);
      return fmt::format("dial tcp {}: connect: {}", address, why);
    }
    case CURLE_OPERATION_TIMEDOUT: return fmt::format("dial tcp {}: i/o timeout", address);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return fmt::format("tls: failed to verify certificate: x509: {}", detail);
    case CURLE_SSL_CONNECT_ERROR:
      if (std::strstr(detail, "wrong version number") != nullptr ||
          std::strstr(detail, "packet length too long") != nullptr)
        return "http: server gave HTTP response to HTTPS client";
      return fmt::format("tls: {}", *detail != 0 ? detail : curl_easy_strerror(code));
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING: return "unexpected EOF";
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR: {
      const auto* act = code == CURLE_SEND_ERROR ? "write" : "read";
      // libcurl's first complaint about a connection that ended as soon as it was made.
      const bool reset = std::string_view(detail).starts_with("getpeername() failed");
      const auto why = reset         ? errno_text(ECONNRESET)
                       : reason != 0 ? errno_text(static_cast<int>(reason))
                                     : detail;
      return fmt::format("{} tcp {}: {}", act, address,
                         !why.empty() ? why : curl_easy_strerror(code));
    }
    default: return *detail != 0 ? detail : curl_easy_strerror(code);
  }
}

}  // namespace

std::string url_escape(const std::string& text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) != 0 || std::strchr("-._~", c) != nullptr) {
      out += c;
    } else {
      out += '%';
      out += kHex[u >> 4U];
      out += kHex[u & 15U];
    }
  }
  return out;
}

bool is_loopback(const std::string& host) {
  if (host.starts_with("[::1]") || host == "::1") return true;
  const std::string name = host.substr(0, host.find(':'));
  if (name == "localhost" || name.ends_with(".localhost")) return true;
  return name.starts_with("127.") && name.find_first_not_of("0123456789.") == std::string::npos;
}

std::string resolve_url(const std::string& base, const std::string& location) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> parsed(curl_url(), curl_url_cleanup);
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK ||
      curl_url_set(parsed.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK)
    return {};
  char* text = nullptr;
  if (curl_url_get(parsed.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) return {};
  std::string out(text);
  curl_free(text);
  return out;
}

std::string origin_of(const std::string& url) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> parsed(curl_url(), curl_url_cleanup);
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return {};
  const std::string scheme = lower(part_of(parsed.get(), CURLUPART_SCHEME));
  const std::string host = lower(part_of(parsed.get(), CURLUPART_HOST));
  const std::string port = part_of(parsed.get(), CURLUPART_PORT);
  if (scheme.empty() || host.empty()) return {};
  return scheme + "://" + host + ":" + port;
}

// ---- one request

struct Transfer::Op {
  explicit Op(asio::io_context& io) : done(io) {}
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;
  ~Op() {
    curl_slist_free_all(list);
    curl_easy_cleanup(easy);
  }

  CURL* easy = nullptr;
  curl_slist* list = nullptr;
  std::array<char, CURL_ERROR_SIZE> detail{};
  OneShot<CURLcode> done;
  HttpResponse response;
  std::string body, origin;
  std::size_t limit = kErrorBody;
  std::size_t header_bytes = 0;
  bool too_much = false, too_many_headers = false;
  // stream()
  std::shared_ptr<ByteQueue> into;
  std::function<void(std::size_t)> received;
  std::int64_t offset = 0, to_skip = 0;
  // upload()
  std::shared_ptr<UploadQueue> from;
  std::function<void(std::size_t)> sent;

  void add_headers(const HttpRequest& request) {
    for (const auto& h : request.headers) list = curl_slist_append(list, h.c_str());
    if (!request.authorization.empty())
      list = curl_slist_append(list, ("Authorization: " + request.authorization).c_str());
  }

  std::size_t header(std::string_view line) {
    header_bytes += line.size();
    too_many_headers = header_bytes > kMostHeaders;
    if (too_many_headers) return 0;
    if (line.starts_with("HTTP/")) {  // another response: after a redirect, a 100, a proxy's
      response.headers.clear();
      response.body.clear();
      const auto space = line.find(' ');
      response.status = 0;
      if (space != std::string_view::npos)
        std::from_chars(line.data() + space + 1, line.data() + line.size(), response.status);
      to_skip = response.status == 200 ? offset : 0;
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
      auto& value = response.headers[lower(line.substr(0, colon))];
      if (!value.empty()) value += ", ";
      value += trimmed(line.substr(colon + 1));
    }
    return line.size();
  }

  std::size_t write(std::string_view bytes) {
    const std::size_t all = bytes.size();
    if (!into || (response.status != 200 && response.status != 206)) {
      too_much = response.body.size() + all > limit;
      if (too_much) return 0;
      response.body.append(bytes);
      return all;
    }
    const auto skip = std::min(bytes.size(), static_cast<std::size_t>(to_skip));
    bytes.remove_prefix(skip);
    switch (into->push(bytes)) {
      case ByteQueue::Push::full: return CURL_WRITEFUNC_PAUSE;
      case ByteQueue::Push::gone: return 0;
      case ByteQueue::Push::taken: break;
    }
    to_skip -= static_cast<std::int64_t>(skip);
    if (!bytes.empty() && received) received(bytes.size());
    return all;
  }

  std::size_t read(std::span<char> buffer) {
    std::size_t taken = 0;
    switch (from->take(buffer, &taken)) {
      case UploadQueue::Take::none_yet: return CURL_READFUNC_PAUSE;
      case UploadQueue::Take::failed: return CURL_READFUNC_ABORT;
      case UploadQueue::Take::end:
      case UploadQueue::Take::some: break;
    }
    if (taken > 0 && sent) sent(taken);
    return taken;
  }

  static std::size_t on_read(char* data, std::size_t one, std::size_t n, void* op) {
    return static_cast<Op*>(op)->read({data, one * n});
  }
  static std::size_t on_header(char* data, std::size_t one, std::size_t n, void* op) {
    return static_cast<Op*>(op)->header({data, one * n});
  }
  static std::size_t on_write(char* data, std::size_t one, std::size_t n, void* op) {
    return static_cast<Op*>(op)->write({data, one * n});
  }
};

// ---- libcurl on the loop

struct Transfer::Loop : std::enable_shared_from_this<Loop> {
  // A socket of libcurl's that it wants to hear of. The descriptor is libcurl's: it is released,
  // not closed, before libcurl closes it.
  struct Watch {
    explicit Watch(asio::io_context& io) : descriptor(io) {}
    asio::posix::stream_descriptor descriptor;
    bool want_read = false, want_write = false;
    bool reading = false, writing = false;  // a wait is under way
    bool gone = false;
  };

  explicit Loop(asio::io_context& loop) : io(loop), timer(loop) {}

  asio::io_context& io;
  asio::steady_timer timer;
  CURLM* multi = nullptr;
  bool closed = false;
  std::map<curl_socket_t, std::shared_ptr<Watch>> watches;
  std::map<CURL*, std::shared_ptr<Op>> ops;

  void open() {
    static const CURLcode once = curl_global_init(CURL_GLOBAL_DEFAULT);
    static_cast<void>(once);
    multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Loop::on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Loop::on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  }

  void close() {
    closed = true;
    timer.cancel();
    for (const auto& [easy, op] : ops) curl_multi_remove_handle(multi, easy);
    ops.clear();
    curl_multi_cleanup(multi);
    for (const auto& [socket, watch] : watches) drop(*watch);
    watches.clear();
  }

  static void drop(Watch& watch) {
    watch.gone = true;
    boost::system::error_code ignored;
    watch.descriptor.cancel(ignored);
    if (watch.descriptor.is_open()) static_cast<void>(watch.descriptor.release());
  }

  static int on_socket(CURL* /*easy*/, curl_socket_t socket, int what, void* user, void* /*own*/) {
    static_cast<Loop*>(user)->watch_socket(socket, what);
    return 0;
  }

  void watch_socket(curl_socket_t socket, int what) {
    const auto found = watches.find(socket);
    if (what == CURL_POLL_REMOVE) {
      if (found == watches.end()) return;
      drop(*found->second);
      watches.erase(found);
      return;
    }
    auto watch = found != watches.end() ? found->second : std::make_shared<Watch>(io);
    if (found == watches.end()) {
      boost::system::error_code ec;
      watch->descriptor.assign(socket, ec);
      if (ec) return log::error("a socket cannot be watched reason={}", ec.message());
      watches[socket] = watch;
    }
    watch->want_read = (what & CURL_POLL_IN) != 0;
    watch->want_write = (what & CURL_POLL_OUT) != 0;
    arm(socket, watch);
  }

  void arm(curl_socket_t socket, const std::shared_ptr<Watch>& watch) {
    using Socket = asio::posix::stream_descriptor;
    if (watch->want_read && !watch->reading) {
      watch->reading = true;
      watch->descriptor.async_wait(Socket::wait_read,
                                   [self = shared_from_this(), socket, watch](auto ec) {
                                     watch->reading = false;
                                     if (!ec && watch->want_read)
                                       self->ready(socket, watch, CURL_CSELECT_IN);
                                   });
    }
    if (watch->want_write && !watch->writing) {
      watch->writing = true;
      watch->descriptor.async_wait(Socket::wait_write,
                                   [self = shared_from_this(), socket, watch](auto ec) {
                                     watch->writing = false;
                                     if (!ec && watch->want_write)
                                       self->ready(socket, watch, CURL_CSELECT_OUT);
                                   });
    }
  }

  void ready(curl_socket_t socket, const std::shared_ptr<Watch>& watch, int what) {
    if (closed || watch->gone) return;
    act(socket, what);
    if (!closed && !watch->gone) arm(socket, watch);
  }

  static int on_timer(CURLM* /*multi*/, long ms, void* user) {
    auto* self = static_cast<Loop*>(user);
    self->timer.cancel();
    if (ms < 0) return 0;
    self->timer.expires_after(std::chrono::milliseconds(ms));
    self->timer.async_wait([loop = self->shared_from_this()](auto ec) {
      if (!ec && !loop->closed) loop->act(CURL_SOCKET_TIMEOUT, 0);
    });
    return 0;
  }

  void act(curl_socket_t socket, int what) {
    int running = 0;
    curl_multi_socket_action(multi, socket, what, &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      if (const auto found = ops.find(message->easy_handle); found != ops.end())
        found->second->done.set(code);
    }
  }

  void resume(const std::shared_ptr<Op>& op) {
    if (closed || op->done.is_set() || !ops.contains(op->easy)) return;
    curl_easy_pause(op->easy, CURLPAUSE_CONT);
    act(CURL_SOCKET_TIMEOUT, 0);
  }
};

Transfer::Transfer(asio::io_context& io) : io_(io), loop_(std::make_shared<Loop>(io)) {
  loop_->open();
}
Transfer::~Transfer() { loop_->close(); }

namespace {

void set_pem(CURL* easy, CURLoption option, const std::string& pem) {
  if (pem.empty()) return;
  curl_blob blob{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_COPY};
  curl_easy_setopt(easy, option, &blob);
}

// The options that every request has.
void set_common(CURL* easy, const HttpRequest& request) {
  const bool verified = request.verify_tls && origin_of(request.url).starts_with("https:");
  const char* schemes = verified ? "https" : "http,https";
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "coracle/" CORACLE_VERSION);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, kMostRedirects);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, schemes);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, kConnectTimeout_s);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, kStall_s);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kBufferSize);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, request.verify_tls ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, request.verify_tls ? 2L : 0L);
  if (const char* file = std::getenv("SSL_CERT_FILE"); file != nullptr)
    curl_easy_setopt(easy, CURLOPT_CAINFO, file);
  if (const char* dir = std::getenv("SSL_CERT_DIR"); dir != nullptr)
    curl_easy_setopt(easy, CURLOPT_CAPATH, dir);
  if (request.certificates) {
    set_pem(easy, CURLOPT_CAINFO_BLOB, request.certificates->authorities);
    set_pem(easy, CURLOPT_SSLCERT_BLOB, request.certificates->certificate);
    set_pem(easy, CURLOPT_SSLKEY_BLOB, request.certificates->key);
  }
  if (is_loopback(host_of(request.url))) {
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
  } else if (const std::string proxy = upper_case_proxy(request.url); !proxy.empty()) {
    curl_easy_setopt(easy, CURLOPT_PROXY, proxy.c_str());
  }
}

}  // namespace

// For a queue's other side, on its thread: the loop goes on with a transfer that was paused.
std::function<void()> Transfer::resumes(const std::shared_ptr<Op>& op) {
  return [&io = io_, loop = std::weak_ptr(loop_), weak = std::weak_ptr(op)] {
    asio::post(io, [loop, weak] {
      const auto l = loop.lock();
      const auto o = weak.lock();
      if (l && o) l->resume(o);
    });
  };
}

Task<HttpResponse> Transfer::request(HttpRequest request, std::size_t limit) {
  auto op = std::make_shared<Op>(io_);
  op->easy = curl_easy_init();
  op->limit = limit;
  op->origin = origin_of(request.url);
  set_common(op->easy, request);
  curl_easy_setopt(op->easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  curl_easy_setopt(op->easy, CURLOPT_TIMEOUT, kSmallBody_s);
  if (request.method == "HEAD") curl_easy_setopt(op->easy, CURLOPT_NOBODY, 1L);
  if (request.method != "GET" && request.method != "HEAD") {
    // 307 and 308 would send the body, which may hold a secret, to whatever host they name.
    curl_easy_setopt(op->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(op->easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  if (request.method == "POST" || request.method == "PUT") {
    op->body = std::move(request.body);
    curl_easy_setopt(op->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(op->body.size()));
    curl_easy_setopt(op->easy, CURLOPT_POSTFIELDS, op->body.c_str());
  }
  op->add_headers(request);
  return perform(std::move(op));
}

Task<HttpResponse> Transfer::stream(HttpRequest request, std::int64_t offset,
                                    std::shared_ptr<ByteQueue> into,
                                    std::function<void(std::size_t)> received) {
  auto op = std::make_shared<Op>(io_);
  op->easy = curl_easy_init();
  op->offset = offset;
  op->origin = origin_of(request.url);
  op->received = std::move(received);
  into->on_room(resumes(op));
  op->into = std::move(into);
  set_common(op->easy, request);
  curl_easy_setopt(op->easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  const std::string range = fmt::format("{}-", offset);
  if (offset > 0) curl_easy_setopt(op->easy, CURLOPT_RANGE, range.c_str());
  op->add_headers(request);
  return perform(std::move(op));
}

Task<HttpResponse> Transfer::upload(HttpRequest request, std::shared_ptr<UploadQueue> from,
                                    std::int64_t length, std::function<void(std::size_t)> sent) {
  auto op = std::make_shared<Op>(io_);
  op->easy = curl_easy_init();
  op->origin = origin_of(request.url);
  op->sent = std::move(sent);
  from->on_more(resumes(op));
  op->from = from;
  set_common(op->easy, request);
  curl_easy_setopt(op->easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(op->easy, CURLOPT_FOLLOWLOCATION, 0L);
  // On a connection that was used before, and that the server has closed meanwhile, libcurl would
  // send again what it has left of the body.
  curl_easy_setopt(op->easy, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(op->easy, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(op->easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(op->easy, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(length));
  curl_easy_setopt(op->easy, CURLOPT_UPLOAD_BUFFERSIZE, kBufferSize);
  curl_easy_setopt(op->easy, CURLOPT_READFUNCTION, &Op::on_read);
  curl_easy_setopt(op->easy, CURLOPT_READDATA, op.get());
  request.headers.emplace_back("Expect:");  // nobody is asked whether the body may come
  op->add_headers(request);
  auto answer = co_await perform(std::move(op));
  // A body that failed is the reason why its request did.
  if (!answer && from->has_failed()) co_return std::unexpected(from->why());
  co_return answer;
}

Task<HttpResponse> Transfer::perform(std::shared_ptr<Op> op) {
  const auto loop = loop_;
  curl_easy_setopt(op->easy, CURLOPT_HTTPHEADER, op->list);
  curl_easy_setopt(op->easy, CURLOPT_ERRORBUFFER, op->detail.data());
  curl_easy_setopt(op->easy, CURLOPT_HEADERFUNCTION, &Op::on_header);
  curl_easy_setopt(op->easy, CURLOPT_HEADERDATA, op.get());
  curl_easy_setopt(op->easy, CURLOPT_WRITEFUNCTION, &Op::on_write);
  curl_easy_setopt(op->easy, CURLOPT_WRITEDATA, op.get());
  loop->ops[op->easy] = op;
  curl_multi_add_handle(loop->multi, op->easy);
  const bool finished = co_await op->done.wait();
  if (loop->ops.erase(op->easy) > 0) curl_multi_remove_handle(loop->multi, op->easy);
  if (!finished) co_return fail(Errc::unavailable, "the transfer was cancelled");
  if (op->too_much)
    co_return fail(Errc::invalid_argument, "the answer is longer than {} bytes", op->limit);
  if (op->too_many_headers)
    co_return fail(Errc::invalid_argument, "the answer's headers are longer than {} bytes",
                   kMostHeaders);
  if (const auto code = op->done.value(); code != CURLE_OK) {
    const auto errc = code == CURLE_COULDNT_RESOLVE_HOST ? Errc::not_found : Errc::unavailable;
    co_return fail(errc, "{}", words_for(code, op->easy, op->detail.data()));
  }
  const char* last = nullptr;
  curl_easy_getinfo(op->easy, CURLINFO_EFFECTIVE_URL, &last);
  op->response.foreign = last == nullptr || origin_of(last) != op->origin;
  co_return std::move(op->response);
}

}  // namespace coracle::storage
