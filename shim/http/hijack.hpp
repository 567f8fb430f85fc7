// Upgraded streams (attach, exec): the head that ends HTTP on a connection, and the frames in which
// stdout and stderr share one stream. See Docker's API, "Stream format".
#pragma once

#include <string>
#include <string_view>

#include "engine/base/fd.hpp"
#include "shim/http/message.hpp"

namespace coracle::http {

constexpr const char* kRawStream = "application/vnd.docker.raw-stream";
constexpr const char* kMultiplexedStream = "application/vnd.docker.multiplexed-stream";

// What the stream is announced as: multiplexed only without a tty, and from 1.42 on.
const char* stream_type(bool tty, ApiVersion version);

// A connection that is no longer HTTP: its descriptor (non-blocking), and what the client had
// already sent behind its request.
struct Hijacked {
  UniqueFd client;
  std::string leftover;
};

// "101 UPGRADED" when the client asked for an upgrade, else "200 OK"; never a length or chunks.
std::string hijack_head(const Request& request, const char* type);

// One frame: 8 bytes of header (stream 1 stdout, 2 stderr, 3 system error), then the payload. An
// empty payload gives nothing.
void append_frame(std::string& out, int stream, std::string_view payload);

}  // namespace coracle::http
