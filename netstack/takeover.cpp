#include "netstack/takeover.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <utility>

#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"

namespace coracle::netstack {
namespace {

Result<Reply> ask(const UniqueFd& connection, Request::What what, const UniqueFd& fd,
                  time_t limit_s) {
  Request request;
  request.seq = 1;
  request.what = std::move(what);
  const timeval limit{limit_s, 0};
  ::setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  CHECK(send_message(connection, json::to_text(request), {fd.get()}));
  const auto message = receive_message(connection);
  if (!message && message.error().sys == EAGAIN)
    return fail(Errc::unavailable, "netstack does not answer within {} s", limit_s);
  if (!message) return std::unexpected(message.error());
  TRY(auto reply, json::from_text<Reply>(message->text));
  if (reply.error) return std::unexpected(message::from_wire(*reply.error));
  return reply;
}

}  // namespace

Result<> give_vault(const UniqueFd& connection, const UniqueFd& vault) {
  TRY([[maybe_unused]] const auto reply, ask(connection, op::Adopt{}, vault, 2));
  return {};
}

Result<Endpoint> restore_endpoint(const std::string& socket, Endpoint endpoint,
                                  const UniqueFd& netns) {
  TRY(const auto connection, connect_unix(socket, SOCK_SEQPACKET));
  TRY(auto reply, ask(connection, op::Restore{std::move(endpoint)}, netns, 5));
  if (!reply.endpoint) return fail(Errc::internal, "restore: netstack's answer lacks the endpoint");
  return *std::move(reply.endpoint);
}

}  // namespace coracle::netstack
