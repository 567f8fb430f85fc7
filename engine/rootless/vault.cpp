#include "engine/rootless/vault.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/json.hpp"
#include "netstack/protocol.hpp"

namespace coracle::rootless {

Result<UniqueFd> Vault::open() {
  TRY(auto pair, make_socket_pair(SOCK_SEQPACKET));
  CHECK(set_nonblocking(pair.a, true));
  socket_ = std::move(pair.a);
  sent_up_to_ = 0;
  lists_ = 0;
  return std::move(pair.b);
}

Result<> Vault::serve() {
  for (;;) {
    auto message = receive_message(socket_);
    if (!message) {
      if (message.error().sys == EAGAIN) return flush();
      return std::unexpected(message.error().within("vault"));
    }
    CHECK(carry_out(*std::move(message)));
  }
}

Result<> Vault::carry_out(Message message) {
  TRY(auto request, json::from_text<netstack::VaultRequest>(message.text));
  const message::Each carry_out{
      [&](netstack::vault::Put& put) -> Result<> {
        auto found = std::ranges::find(entries_, put.name, &Entry::name);
        if (found == entries_.end()) {
          entries_.push_back({next_order_++, put.name, {}, {}});
          found = std::prev(entries_.end());
        }
        found->data = std::move(put.data);
        found->fds = std::move(message.fds);
        return {};
      },
      [&](const netstack::vault::Drop& drop) -> Result<> {
        std::erase_if(entries_, [&](const Entry& e) { return e.name == drop.name; });
        return {};
      },
      [&](const netstack::vault::List&) -> Result<> {
        ++lists_;
        return {};
      },
      [&](const message::Unknown& unknown) -> Result<> {
        return fail(Errc::invalid_argument, "vault: unknown request '{}'", unknown.op);
      }};
  return std::visit(carry_out, request.what);
}

Result<> Vault::flush() {
  const auto send = [this](const netstack::VaultEntry& entry,
                           const std::vector<int>& fds) -> Result<bool> {
    auto sent = send_message(socket_, json::to_text(entry), fds);
    if (sent) return true;
    if (sent.error().sys == EAGAIN) return false;
    return std::unexpected(sent.error().within("vault"));
  };
  while (lists_ > 0) {
    const auto next = std::ranges::upper_bound(entries_, sent_up_to_, {}, &Entry::order);
    if (next == entries_.end()) {
      TRY(const bool sent, send({"", "", true}, {}));
      if (!sent) return {};
      sent_up_to_ = 0;
      --lists_;
      continue;
    }
    std::vector<int> fds;
    for (const auto& fd : next->fds) fds.push_back(fd.get());
    TRY(const bool sent, send({next->name, next->data, false}, fds));
    if (!sent) return {};
    sent_up_to_ = next->order;
  }
  return {};
}

}  // namespace coracle::rootless
