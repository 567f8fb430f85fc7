// Messages between our processes: one JSON text and descriptors, over a unix socket of type
// SOCK_SEQPACKET (so that a message is a datagram and keeps its bounds). A text above 64 KiB
// travels in a memfd, which the receiver unwraps; nobody above sees the difference. On the wire:
// one byte, 'T' (text follows) or 'M' (the first descriptor is a memfd holding the text).
#pragma once

#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

struct Message {
  std::string text;           // JSON
  std::vector<UniqueFd> fds;  // at most 32
};

// Sends one message. On a non-blocking socket whose buffer is full the error's `sys` is EAGAIN.
//   errors  unavailable-like (EPIPE, ECONNRESET: sys tells) when the peer is gone
Result<> send_message(const UniqueFd& socket, const Message& message);
// The same with borrowed descriptors.
Result<> send_message(const UniqueFd& socket, const std::string& text, const std::vector<int>& fds);
// Receives one. not_found: the peer closed. sys == EAGAIN on a non-blocking socket without a
// message.
Result<Message> receive_message(const UniqueFd& socket);

// Binds and listens on a unix socket (SOCK_SEQPACKET or SOCK_STREAM, non-blocking, mode 0600). A
// stale file of a dead process is replaced. Long paths (over 107 bytes) go through /proc/self/fd of
// the directory.
//   errors  conflict: somebody answers there
Result<UniqueFd> listen_unix(const std::string& path, int type);
// errors  not_found (no such file), unavailable-like (ECONNREFUSED: a stale file)
Result<UniqueFd> connect_unix(const std::string& path, int type);
// accept4(2), close-on-exec and non-blocking.
Result<UniqueFd> accept_connection(const UniqueFd& listener);

}  // namespace coracle
