#include "netstack/dns/dns_tcp.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "netstack/base/accept.hpp"

namespace coracle::netstack {
namespace {

constexpr std::size_t kMostConnections = 32;  // of one container
constexpr std::size_t kDescriptors = 2;       // of a connection: the client's, the resolver's
constexpr std::size_t kPrefix = 2;
constexpr std::chrono::seconds kTcpIdle{10};

// Is there a whole message, with its length in front, at the start of these bytes?
std::size_t whole_message(const DnsBytes& bytes) {
  if (bytes.size() < kPrefix) return 0;
  const std::size_t size = kPrefix + static_cast<std::size_t>(bytes[0] << 8 | bytes[1]);
  return bytes.size() >= size ? size : 0;
}

// Reads what is there, up to the longest message. False: the end, or an error.
bool read_into(const UniqueFd& fd, DnsBytes& into) {
  std::array<std::uint8_t, 4096> chunk{};
  while (into.size() < kPrefix + kLongestMessage) {
    const ssize_t n = ::recv(fd.get(), chunk.data(), chunk.size(), 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    into.insert(into.end(), chunk.begin(), chunk.begin() + n);
  }
  return true;
}

// Writes what goes and takes it off the front. False: an error.
bool write_from(const UniqueFd& fd, DnsBytes& from) {
  while (!from.empty()) {
    const ssize_t n = ::send(fd.get(), from.data(), from.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
    from.erase(from.begin(), from.begin() + n);
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<DnsTcp>> DnsTcp::make(Loop& loop, Shares& shares, DnsSettings settings,
                                             Resolvers& resolvers, UniqueFd listener) {
  std::unique_ptr<DnsTcp> tcp(
      new DnsTcp(loop, shares, std::move(settings), resolvers, std::move(listener)));
  TRY(tcp->watch_,
      loop.watch(tcp->listener_, EPOLLIN, [t = tcp.get()](std::uint32_t) { t->accept(); }));
  shares.on_close(
      [t = tcp.get()](const TenantPtr& tenant) { t->connections_.erase(tenant.get()); });
  return tcp;
}

void DnsTcp::accept() {
  for (int i = 0; i < kAcceptBatch; ++i) {
    sockaddr_storage raw{};
    socklen_t size = sizeof raw;
    UniqueFd client(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&raw), &size,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) pause();
      return;
    }
    const auto from = SocketAddress::from(raw);
    const auto tenant = from.is_v4() ? shares_.find(from.v4()) : nullptr;
    if (tenant) take(std::move(client), tenant);
  }
}

// They wait in the backlog: it would wake us again at once.
void DnsTcp::pause() {
  watch_.change(0);
  resume_ = loop_.after(kNoDescriptorPause, [this] { watch_.change(EPOLLIN); });
}

void DnsTcp::take(UniqueFd client, const TenantPtr& tenant) {
  if (!make_room(tenant)) return;
  auto& mine = connections_[tenant.get()];
  const auto c = mine.emplace(mine.end());
  c->charge = Charge(tenant, kDescriptors);
  c->client = std::move(client);
  auto watch =
      loop_.watch(c->client, EPOLLIN, [this, c](std::uint32_t events) { on_client(c, events); });
  if (!watch) return end(c);
  c->client_watch = *std::move(watch);
  restart_limit(c);
}

// False: the new one is closed.
bool DnsTcp::make_room(const TenantPtr& tenant) {
  const auto mine = connections_.find(tenant.get());
  const std::size_t count = mine == connections_.end() ? 0 : mine->second.size();
  if (count < kMostConnections && tenant->may_open(kDescriptors)) return true;
  if (count == 0 || !tenant->may_displace()) return false;
  end(mine->second.begin());
  return tenant->may_open(kDescriptors);
}

void DnsTcp::used(Place c) {
  auto& mine = connections_.at(c->charge.tenant().get());
  mine.splice(mine.end(), mine, c);
}

void DnsTcp::end(Place c) {
  const auto mine = connections_.find(c->charge.tenant().get());
  mine->second.erase(c);
  if (mine->second.empty()) connections_.erase(mine);
}

void DnsTcp::restart_limit(Place c) {
  used(c);
  c->limit = loop_.after(kTcpIdle, [this, c] { end(c); });
}

bool DnsTcp::on_client(Place c, std::uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 ||
      ((events & EPOLLIN) != 0 && !read_into(c->client, c->in))) {
    end(c);
    return false;
  }
  if ((events & EPOLLOUT) != 0 && !flush(c)) return false;
  return next_query(c);
}

// One thing after the other: its question, the resolver's answer, its taking the answer.
void DnsTcp::await(Place c) {
  const std::uint32_t for_question = c->query.empty() ? std::uint32_t{EPOLLIN} : 0;
  c->client_watch.change(c->out.empty() ? for_question : std::uint32_t{EPOLLOUT});
}

bool DnsTcp::next_query(Place c) {
  // What it asks while it has not taken its last answer waits.
  while (c->query.empty() && c->out.empty()) {
    const std::size_t size = whole_message(c->in);
    if (size == 0) break;
    const auto message = std::span<const std::uint8_t>(c->in).subspan(kPrefix, size - kPrefix);
    const auto question = parse_query(message);
    if (!question) {
      end(c);
      return false;
    }
    const auto ours = local_answer(settings_, message, *question);
    if (!ours) c->query.assign(c->in.begin(), c->in.begin() + static_cast<std::ptrdiff_t>(size));
    c->in.erase(c->in.begin(), c->in.begin() + static_cast<std::ptrdiff_t>(size));
    if (ours) {
      if (!answer(c, *ours)) return false;
      continue;
    }
    c->servers = resolvers_.now();
    c->next = 0;
    return ask_next(c);
  }
  await(c);
  return true;
}

bool DnsTcp::ask_next(Place c) {
  while (c->next < c->servers.size()) {
    const auto server = c->servers[c->next++];
    c->upstream_watch.reset();
    c->upstream =
        UniqueFd(::socket(server.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!c->upstream) continue;
    if (::connect(c->upstream.get(), server.get(), server.size()) != 0 && errno != EINPROGRESS)
      continue;
    c->to_upstream = c->query;
    c->from_upstream.clear();
    auto watch = loop_.watch(c->upstream, EPOLLIN | EPOLLOUT,
                             [this, c](std::uint32_t events) { on_upstream(c, events); });
    if (!watch) continue;
    c->upstream_watch = *std::move(watch);
    c->limit = loop_.after(kServerLimit, [this, c] { ask_next(c); });
    await(c);
    return true;
  }
  const auto message = std::span<const std::uint8_t>(c->query).subspan(kPrefix);
  const auto failure = make_empty_answer(message, *parse_query(message), Rcode::server_failure);
  c->query.clear();
  restart_limit(c);
  return answer(c, failure) && next_query(c);
}

void DnsTcp::on_upstream(Place c, std::uint32_t events) {
  const bool writable = (events & EPOLLOUT) != 0;
  if ((events & EPOLLERR) != 0 || (writable && !write_from(c->upstream, c->to_upstream))) {
    ask_next(c);
    return;
  }
  if (c->to_upstream.empty()) c->upstream_watch.change(EPOLLIN);
  const bool open = read_into(c->upstream, c->from_upstream);
  const std::size_t size = whole_message(c->from_upstream);
  if (size == 0) {
    if (!open) ask_next(c);
    return;
  }
  const auto message =
      std::span<const std::uint8_t>(c->from_upstream).subspan(kPrefix, size - kPrefix);
  const auto query = std::span<const std::uint8_t>(c->query).subspan(kPrefix);
  if (!answers(message, query, dns_id(query))) {
    ask_next(c);
    return;
  }
  const DnsBytes given(message.begin(), message.end());
  c->upstream_watch.reset();
  c->upstream.reset();
  c->query.clear();
  restart_limit(c);
  if (answer(c, given)) next_query(c);
}

bool DnsTcp::answer(Place c, std::span<const std::uint8_t> message) {
  c->out.push_back(static_cast<std::uint8_t>(message.size() >> 8));
  c->out.push_back(static_cast<std::uint8_t>(message.size()));
  c->out.insert(c->out.end(), message.begin(), message.end());
  return flush(c);
}

bool DnsTcp::flush(Place c) {
  if (!write_from(c->client, c->out)) {
    end(c);
    return false;
  }
  await(c);
  return true;
}

}  // namespace coracle::netstack
