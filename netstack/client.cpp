#include "netstack/client.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <map>
#include <optional>

#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"

namespace coracle::netstack {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kLimit{5};
constexpr std::chrono::milliseconds kConnectAgain{20};

struct Answer {
  Reply reply;
  std::vector<UniqueFd> fds;
};

// One request under way: its coroutine sleeps on the timer.
struct Pending {
  explicit Pending(asio::io_context& io) : wake(io) {}
  asio::steady_timer wake;
  std::optional<Answer> answer;
  bool cut_off = false;
};

struct Connection {
  explicit Connection(asio::io_context& io) : readable(io) {}
  UniqueFd socket;
  asio::posix::stream_descriptor readable;  // a duplicate, for asio
  std::map<std::uint64_t, std::shared_ptr<Pending>> pending;
  bool open = true;

  void cut() {
    if (!open) return;
    open = false;
    for (auto& [seq, p] : pending) {
      p->cut_off = true;
      p->wake.cancel();
    }
    pending.clear();
    boost::system::error_code ignored;
    readable.close(ignored);
    socket.reset();
  }
};

// Gives every answer to its request until the connection ends.
Coro<void> read_answers(std::shared_ptr<Connection> c) {
  while (c->open) {
    const auto [error] =
        co_await c->readable.async_wait(asio::posix::stream_descriptor::wait_read, kToken);
    while (!error && c->open) {
      auto message = receive_message(c->socket);
      if (!message && message.error().sys == EAGAIN) break;
      auto reply = message ? json::from_text<Reply>(message->text)
                           : Result<Reply>(std::unexpected(message.error()));
      if (!reply) {
        c->cut();
        break;
      }
      const auto found = c->pending.find(reply->re);
      if (found == c->pending.end()) continue;  // its request has run out of time
      found->second->answer = Answer{*std::move(reply), std::move(message->fds)};
      found->second->wake.cancel();
      c->pending.erase(found);
    }
    if (error) c->cut();
  }
}

}  // namespace

class Client::Impl : public std::enable_shared_from_this<Client::Impl> {
 public:
  Impl(asio::io_context& io, std::string path) : io_(io), path_(std::move(path)), scope_(io) {}

  // Sends it until it is answered, over as many connections as that takes within the limit.
  static Task<Answer> ask(std::shared_ptr<Impl> self, Request::What what);
  void close() {
    closed_ = true;
    if (connection_) connection_->cut();
    connection_.reset();
  }

 private:
  Result<std::shared_ptr<Connection>> connect();

  asio::io_context& io_;
  std::string path_;
  std::shared_ptr<Connection> connection_;
  std::uint64_t seq_ = 0;
  bool closed_ = false;
  Scope scope_;
};

Result<std::shared_ptr<Connection>> Client::Impl::connect() {
  if (connection_ && connection_->open) return connection_;
  auto c = std::make_shared<Connection>(io_);
  TRY(c->socket, connect_unix(path_, SOCK_SEQPACKET));
  CHECK(set_nonblocking(c->socket, true));
  TRY(auto copy, duplicate(c->socket));
  boost::system::error_code error;
  c->readable.assign(copy.release(), error);
  if (error) return fail(Errc::unavailable, "watch {}: {}", path_, error.message());
  connection_ = c;
  scope_.start("netstack answers", read_answers(c));
  return c;
}

Task<Answer> Client::Impl::ask(std::shared_ptr<Impl> self, Request::What what) {
  const auto deadline = Clock::now() + kLimit;
  Request request;
  request.what = std::move(what);
  Error last{Errc::unavailable, 0, "no answer"};
  while (!self->closed_ && Clock::now() < deadline) {
    const auto pending = std::make_shared<Pending>(self->io_);
    request.seq = ++self->seq_;
    auto connected = self->connect();
    Result<> sent;
    if (connected) {
      sent = send_message((*connected)->socket, json::to_text(request), {});
      if (!sent) (*connected)->cut();
    }
    if (!connected || !sent) {
      // Not there: the keeper is about to start it again.
      last = connected ? sent.error() : connected.error();
      pending->wake.expires_after(kConnectAgain);
      co_await pending->wake.async_wait(kToken);
      const auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none) break;
      continue;
    }
    (*connected)->pending.emplace(request.seq, pending);
    pending->wake.expires_at(deadline);
    co_await pending->wake.async_wait(kToken);
    (*connected)->pending.erase(request.seq);
    if (pending->answer) {
      if (const auto& e = pending->answer->reply.error)
        co_return std::unexpected(message::from_wire(*e));
      co_return *std::move(pending->answer);
    }
    if (!pending->cut_off) break;  // out of time, or cancelled
    last.message = "the connection was cut off";
  }
  co_return fail(Errc::unavailable, "ask netstack to {}: {} (socket {})",
                 message::name_of_op(request.what), last.message, self->path_);
}

Client::Client(asio::io_context& io, std::string socket)
    : impl_(std::make_shared<Impl>(io, std::move(socket))) {}
Client::~Client() { impl_->close(); }
void Client::close() { impl_->close(); }

Task<Attachment> Client::attach(AttachRequest attach) {
  Request::What request = op::Attach{std::move(attach)};
  CO_TRY(auto answer, co_await Impl::ask(impl_, std::move(request)));
  if (!answer.reply.endpoint || answer.fds.size() != 1)
    co_return fail(Errc::internal, "attach: netstack's answer lacks the endpoint");
  co_return Attachment{*std::move(answer.reply.endpoint), std::move(answer.fds.front())};
}

Task<> Client::detach(std::string container_id) {
  Request::What request = op::Detach{std::move(container_id)};
  CO_TRY(const auto answer, co_await Impl::ask(impl_, std::move(request)));
  co_return Result<>{};
}

Task<std::vector<Endpoint>> Client::list() {
  Request::What request = op::List{};
  CO_TRY(auto answer, co_await Impl::ask(impl_, std::move(request)));
  co_return std::move(answer.reply.endpoints);
}

Task<> Client::keep(std::vector<std::string> container_ids) {
  Request::What request = op::Keep{std::move(container_ids)};
  CO_TRY(const auto answer, co_await Impl::ask(impl_, std::move(request)));
  co_return Result<>{};
}

Task<BridgeInfo> Client::bridge() {
  Request::What request = op::Hello{};
  CO_TRY(auto answer, co_await Impl::ask(impl_, std::move(request)));
  if (!answer.reply.bridge)
    co_return fail(Errc::internal, "hello: netstack's answer lacks the bridge");
  co_return *std::move(answer.reply.bridge);
}

}  // namespace coracle::netstack
