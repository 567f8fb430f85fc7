#include "netstack/server.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <variant>

#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "netstack/base/accept.hpp"
#include "netstack/takeover.hpp"

namespace coracle::netstack {
namespace {

Reply error_reply(std::uint64_t seq, const Error& error) {
  Reply reply;
  reply.re = seq;
  reply.error = message::to_wire(error);
  return reply;
}

}  // namespace

Result<std::unique_ptr<Server>> Server::make(Loop& loop, const std::string& socket,
                                             Endpoints& endpoints, BridgeInfo bridge) {
  std::unique_ptr<Server> server(new Server(loop, endpoints, std::move(bridge)));
  TRY(server->listener_, listen_unix(socket, SOCK_SEQPACKET));
  TRY(server->watch_,
      loop.watch(server->listener_, EPOLLIN, [s = server.get()](std::uint32_t) { s->accept(); }));
  return server;
}

void Server::accept() {
  for (;;) {
    auto socket = accept_connection(listener_);
    if (!socket) {
      if (socket.error().sys == EMFILE || socket.error().sys == ENFILE) {
        // It waits in the backlog, which would wake us again at once.
        watch_.change(0);
        resume_ = loop_.after(kNoDescriptorPause, [this] { watch_.change(EPOLLIN); });
      }
      return;
    }
    auto connection = std::make_shared<Connection>();
    connection->socket = *std::move(socket);
    const std::weak_ptr<Connection> weak = connection;
    auto watch = loop_.watch(connection->socket, EPOLLIN, [this, weak](std::uint32_t) {
      if (const auto c = weak.lock()) on_message(c);
    });
    if (!watch) continue;
    connection->watch = *std::move(watch);
    connection->place = connections_.insert(connections_.end(), connection);
  }
}

void Server::on_message(const ConnectionPtr& from) {
  for (;;) {
    auto message = receive_message(from->socket);
    if (!message) {
      if (message.error().sys != EAGAIN) close(from);
      return;
    }
    auto request = json::from_text<Request>(message->text);
    if (!request) {
      log::warn("request not understood: {}", request.error().message);
      return close(from);
    }
    handle(from, *std::move(request), *std::move(message));
    if (!from->socket) return;
  }
}

void Server::handle(const ConnectionPtr& from, Request request, Message carried) {
  Reply reply;
  reply.re = request.seq;
  if (request.version != kProtocolVersion) {
    const Error other{Errc::unsupported, 0,
                      fmt::format("netstack speaks version {} of its protocol, not {}",
                                  kProtocolVersion, request.version)};
    return send(from, error_reply(request.seq, other), {});
  }
  const auto refuse = [&](std::string text) {
    send(from, error_reply(request.seq, Error{Errc::invalid_argument, 0, std::move(text)}), {});
  };
  const auto one_descriptor = [&](const auto& op) {
    if (carried.fds.size() != 1) refuse(fmt::format("{}: one descriptor comes with it", op.kOp));
    return carried.fds.size() == 1;
  };
  std::visit(message::Each{
                 [&](op::Hello&) {
                   reply.bridge = bridge_;
                   send(from, reply, {});
                 },
                 [&](op::Attach& op) {
                   if (op.attach.container_id.empty())
                     return refuse("attach: the request names no container");
                   endpoints_.attach(std::move(op.attach), answer_to(from, request.seq));
                 },
                 [&](op::Detach& op) {
                   endpoints_.detach(op.container_id);
                   send(from, reply, {});
                 },
                 [&](op::List&) {
                   reply.endpoints = endpoints_.list();
                   send(from, reply, {});
                 },
                 [&](op::Keep& op) {
                   endpoints_.keep(op.container_ids);
                   send(from, reply, {});
                 },
                 [&](op::Adopt& op) {
                   if (!adopt_) return refuse("netstack has no vault to exchange");
                   if (!one_descriptor(op)) return;
                   send(from, reply, {});  // first: the keeper empties its vault's socket after it
                   adopt_(std::move(carried.fds.front()));
                 },
                 [&](op::Restore& op) {
                   if (op.endpoint.container_id.empty())
                     return refuse("restore: the request names no container");
                   if (one_descriptor(op))
                     endpoints_.take_back(op.endpoint, std::move(carried.fds.front()),
                                          answer_to(from, request.seq));
                 },
                 [&](message::Unknown& op) { refuse("netstack knows no request " + op.op); },
             },
             request.what);
}

OnAttached Server::answer_to(const ConnectionPtr& whom, std::uint64_t seq) {
  const std::weak_ptr<Connection> weak = whom;
  return [this, weak, seq](Result<Attached> attached) {
    const auto to = weak.lock();
    if (!to) return;  // it asks again
    if (!attached) return send(to, error_reply(seq, attached.error()), {});
    Reply reply;
    reply.re = seq;
    reply.endpoint = *attached->endpoint;
    send(to, reply, {attached->netns});
  };
}

void Server::send(const ConnectionPtr& to, const Reply& reply, const std::vector<int>& fds) {
  if (!to->socket) return;
  if (auto sent = send_message(to->socket, json::to_text(reply), fds); !sent) {
    // Gone, or it does not read: either way it connects again.
    log::debug("client dropped: {}", sent.error().message);
    close(to);
  }
}

void Server::close(const ConnectionPtr& which) {
  if (!which->socket) return;
  const ConnectionPtr alive = which;
  alive->watch.reset();
  alive->socket.reset();
  connections_.erase(alive->place);
}

}  // namespace coracle::netstack
