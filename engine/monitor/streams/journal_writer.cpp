#include "engine/monitor/streams/journal_writer.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdint>

#include "engine/base/ident.hpp"

namespace coracle::monitor {
namespace {

// A value with a newline has its length before it, in eight bytes, little endian.
void append_field(std::string& out, std::string_view key, std::string_view value) {
  out += key;
  if (value.find('\n') == std::string_view::npos) {
    out += '=';
  } else {
    out += '\n';
    for (unsigned shift = 0; shift < 64; shift += 8)
      out += static_cast<char>((std::uint64_t{value.size()} >> shift) & 0xFFU);
  }
  out += value;
  out += '\n';
}

}  // namespace

Result<JournalWriter> JournalWriter::open(const std::string& socket_path,
                                          const std::vector<std::string>& fields) {
  JournalWriter w;
  w.path_ = socket_path;
  for (const auto& field : fields) {
    const auto equals = field.find('=');
    if (equals == std::string::npos) continue;
    append_field(w.fields_, field.substr(0, equals), field.substr(equals + 1));
  }
  CHECK(w.connect());
  return w;
}

// Connected, so that poll(2) tells when the journal takes more.
Result<> JournalWriter::connect() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path)
    return fail(Errc::invalid_argument, "the journal's socket {} has too long a name", path_);
  path_.copy(address.sun_path, path_.size());
  socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) return sys_error("make a socket for the journal");
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return sys_error("connect to systemd's journal at {}", path_);
  return {};
}

Result<> JournalWriter::write(int priority, std::string_view text, bool partial) {
  std::string entry = fields_;
  append_field(entry, "PRIORITY", std::to_string(priority));
  if (partial) append_field(entry, "CONTAINER_PARTIAL_MESSAGE", "true");
  append_field(entry, "SYSLOG_TIMESTAMP", to_rfc3339(now()));
  append_field(entry, "MESSAGE", text);
  for (int tries = 0; tries < 3; ++tries) {
    if (!socket_) CHECK(connect());
    if (::send(socket_.get(), entry.data(), entry.size(), MSG_NOSIGNAL) >= 0) return {};
    if (errno == EAGAIN) {
      pollfd p{socket_.get(), POLLOUT, 0};
      ::poll(&p, 1, kBusy_ms);
    } else if (errno == ECONNREFUSED || errno == ENOTCONN) {
      socket_.reset();  // it was restarted
    } else if (errno != EINTR) {
      return sys_error("write to systemd's journal");
    }
  }
  return sys_error_of(EAGAIN, "write to systemd's journal");
}

}  // namespace coracle::monitor
