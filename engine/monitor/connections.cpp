#include "engine/monitor/connections.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/json.hpp"

namespace coracle::monitor {

Result<> Connections::adopt(UniqueFd socket) {
  CHECK(set_nonblocking(socket, true));
  const Id id = next_++;
  auto connection = std::make_unique<Connection>();
  connection->socket = std::move(socket);
  TRY(connection->watch, loop_.watch(connection->socket, EPOLLIN,
                                     [this, id](std::uint32_t events) { ready(id, events); }));
  open_.emplace(id, std::move(connection));
  return {};
}

Result<> Connections::listen(const std::string& path) {
  TRY(listener_, listen_unix(path, SOCK_SEQPACKET));
  path_ = path;
  TRY(listener_watch_, loop_.watch(listener_, EPOLLIN, [this](std::uint32_t) { accept(); }));
  return {};
}

void Connections::accept() {
  // A peer that has gone again is no matter; one too many descriptors shows as no answer.
  if (auto socket = accept_connection(listener_)) (void)adopt(*std::move(socket));
}

void Connections::ready(Id id, std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush(id);
  if ((events & EPOLLIN) != 0) {
    receive(id);
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    drop(id);
  }
}

void Connections::receive(Id id) {
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  auto message = receive_message(found->second->socket);
  if (!message) {
    if (message.error().sys != EAGAIN) drop(id);
    return;
  }
  auto request = json::from_text<Request>(message->text);
  if (!request) {
    Answer answer;
    answer.error =
        message::to_wire(request.error().within("monitor: the request is not understood"));
    return send(id, answer);
  }
  handlers_.request(id, *std::move(request), std::move(message->fds));
}

void Connections::send(Id to, const Answer& answer) {
  const auto found = open_.find(to);
  if (found == open_.end() || found->second->deaf) return;
  found->second->waiting.push_back(json::to_text(answer));
  flush(to);
}

void Connections::broadcast(const Answer& answer) {
  std::vector<Id> all;
  for (const auto& [id, connection] : open_) all.push_back(id);
  for (const Id id : all) send(id, answer);
}

void Connections::flush(Id id) {
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  Connection& c = *found->second;
  while (!c.waiting.empty()) {
    const auto sent = send_message(c.socket, c.waiting.front(), {});
    if (!sent && sent.error().sys == EAGAIN) return c.watch.change(EPOLLIN | EPOLLOUT);
    if (!sent) {
      // It has gone, but what it asked before is still to be read: the end shows there.
      c.deaf = true;
      c.waiting.clear();
      break;
    }
    c.waiting.pop_front();
  }
  c.watch.change(EPOLLIN);
}

void Connections::drop(Id id) {
  const auto found = open_.find(id);
  if (found == open_.end()) return;
  open_.erase(found);
  // Not at once: it may be in the middle of an answer.
  if (open_.empty())
    loop_.defer([this] {
      if (open_.empty()) handlers_.none_left();
    });
}

void Connections::close() {
  listener_watch_.reset();
  listener_.reset();
  if (!path_.empty()) ::unlink(path_.c_str());
  path_.clear();
  open_.clear();
}

}  // namespace coracle::monitor
