#include "netstack/vault.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

#include "engine/base/ipc/channel.hpp"
#include "netstack/protocol.hpp"

namespace coracle::netstack {

Vault::Vault(UniqueFd socket) { adopt(std::move(socket)); }

void Vault::adopt(UniqueFd socket) {
  socket_ = std::move(socket);
  abandoned_ = false;
  const timeval limit{5, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

Result<> Vault::send(const std::string& text, const std::vector<int>& fds) {
  if (abandoned_) return {};
  auto sent = send_message(socket_, text, fds);
  // The keeper has just ended: the loop is about to be told.
  if (!sent && (sent.error().sys == EPIPE || sent.error().sys == ECONNRESET)) {
    abandon();
    return {};
  }
  return sent;
}

Result<> Vault::put(const std::string& name, const std::string& data, const std::vector<int>& fds) {
  const VaultRequest request{"put", name, data};
  if (auto sent = send(json::to_text(request), fds); !sent)
    return std::unexpected(sent.error().within("give {} to the keeper", name));
  return {};
}

Result<> Vault::drop(const std::string& name) {
  const VaultRequest request{"drop", name, {}};
  if (auto sent = send(json::to_text(request), {}); !sent)
    return std::unexpected(sent.error().within("take {} from the keeper", name));
  return {};
}

Result<std::vector<VaultItem>> Vault::list() {
  const VaultRequest request{"list", {}, {}};
  CHECK(send_message(socket_, json::to_text(request), {}));
  std::vector<VaultItem> items;
  for (;;) {
    auto message = receive_message(socket_);
    if (!message)
      return std::unexpected(message.error().within("ask the keeper what it holds for us"));
    TRY(auto entry, json::from_text<VaultEntry>(message->text));
    if (entry.end) return items;
    items.push_back({std::move(entry.name), std::move(entry.data), std::move(message->fds)});
  }
}

}  // namespace coracle::netstack
