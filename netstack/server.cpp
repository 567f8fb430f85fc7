#include "netstack/server.hpp"

#include <sys/socket.h>

#include <cerrno>

#include "engine/base/channel.hpp"
#include "engine/base/log.hpp"
#include "netstack/takeover.hpp"

namespace coracle::netstack {
namespace {

Reply error_reply(std::uint64_t seq, const Error& error) {
  Reply reply;
  reply.re = seq;
  reply.error = WireError{name_of(error.code), error.sys, error.message};
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
        watch_.set(0);
        resume_ = loop_.after(kNoDescriptorPause, [this] { watch_.set(EPOLLIN); });
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

void Server::handle(const ConnectionPtr& from, Request request, Message message) {
  Reply reply;
  reply.re = request.seq;
  if (request.version != kProtocolVersion) {
    const Error other{Errc::unsupported, 0,
                      fmt::format("netstack speaks version {} of its protocol, not {}",
                                  kProtocolVersion, request.version)};
    return send(from, error_reply(request.seq, other), {});
  }
  if (request.op == "attach" && request.attach)
    return attach(from, request.seq, *std::move(request.attach));
  if (request.op == "restore" && message.fds.size() == 1)
    return take_back(from, std::move(message));
  if (request.op == "adopt" && message.fds.size() == 1 && adopt_) {
    send(from, reply, {});  // first: the keeper empties its vault's socket after it
    return adopt_(std::move(message.fds.front()));
  }
  if (request.op == "hello") {
    reply.bridge = bridge_;
  } else if (request.op == "detach") {
    endpoints_.detach(request.container_id);
  } else if (request.op == "list") {
    reply.endpoints = endpoints_.list();
  } else if (request.op == "keep") {
    endpoints_.keep(request.container_ids);
  } else {
    const Error unknown{Errc::invalid_argument, 0,
                        fmt::format("netstack knows no request {}", request.op)};
    return send(from, error_reply(request.seq, unknown), {});
  }
  send(from, reply, {});
}

void Server::attach(const ConnectionPtr& from, std::uint64_t seq, AttachRequest request) {
  endpoints_.attach(std::move(request), answer_to(from, seq));
}

void Server::take_back(const ConnectionPtr& from, Message message) {
  auto request = json::from_text<RestoreRequest>(message.text);
  if (!request) {
    log::warn("request not understood: {}", request.error().message);
    return close(from);
  }
  endpoints_.take_back(request->endpoint, std::move(message.fds.front()),
                       answer_to(from, request->seq));
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
