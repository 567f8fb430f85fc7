#include "shim/http/hijack.hpp"

#include <algorithm>
#include <cstdint>

namespace coracle::http {

const char* stream_type(bool tty, ApiVersion version) {
  return tty || version < ApiVersion{1, 42} ? kRawStream : kMultiplexedStream;
}

std::string hijack_head(const Request& request, const char* type) {
  const auto upgrade = request.header("upgrade");
  if (upgrade.empty()) return fmt::format("HTTP/1.1 200 OK\r\nContent-Type: {}\r\n\r\n", type);
  // The client's word comes back, and nothing else of what it may have put there.
  const bool plain = std::ranges::all_of(upgrade, [](char c) { return c > 0x20 && c < 0x7f; });
  return fmt::format(
      "HTTP/1.1 101 UPGRADED\r\nContent-Type: {}\r\nConnection: Upgrade\r\nUpgrade: {}\r\n\r\n",
      type, plain ? upgrade : "tcp");
}

void append_frame(std::string& out, int stream, std::string_view payload) {
  if (payload.empty()) return;
  const auto size = static_cast<std::uint32_t>(payload.size());
  const char header[8] = {static_cast<char>(stream),
                          0,
                          0,
                          0,
                          static_cast<char>(size >> 24),
                          static_cast<char>(size >> 16),
                          static_cast<char>(size >> 8),
                          static_cast<char>(size)};
  out.append(header, sizeof header);
  out.append(payload);
}

}  // namespace coracle::http
