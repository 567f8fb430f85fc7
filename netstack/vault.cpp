#include "netstack/vault.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <utility>

#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"

namespace coracle::netstack {
namespace {

std::string text_of(VaultRequest::What what) {
  VaultRequest request;
  request.what = std::move(what);
  return json::to_text(request);
}

}  // namespace

VaultClient::VaultClient(UniqueFd socket) { adopt(std::move(socket)); }

void VaultClient::adopt(UniqueFd socket) {
  socket_ = std::move(socket);
  abandoned_ = false;
  const timeval limit{5, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

Result<> VaultClient::send(VaultRequest::What what, const std::vector<int>& fds) {
  if (abandoned_) return {};
  auto sent = send_message(socket_, text_of(std::move(what)), fds);
  // The keeper has just ended: the loop is about to be told.
  if (!sent && (sent.error().sys == EPIPE || sent.error().sys == ECONNRESET)) {
    abandon();
    return {};
  }
  return sent;
}

Result<> VaultClient::put(const std::string& name, const std::string& data,
                          const std::vector<int>& fds) {
  if (auto sent = send(vault::Put{name, data}, fds); !sent)
    return std::unexpected(sent.error().within("give {} to the keeper", name));
  return {};
}

Result<> VaultClient::drop(const std::string& name) {
  if (auto sent = send(vault::Drop{name}, {}); !sent)
    return std::unexpected(sent.error().within("take {} from the keeper", name));
  return {};
}

Result<std::vector<VaultItem>> VaultClient::list() {
  CHECK(send_message(socket_, text_of(vault::List{}), {}));
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
