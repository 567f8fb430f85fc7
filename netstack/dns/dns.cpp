#include "netstack/dns/dns.hpp"

#include <sys/random.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "engine/base/file.hpp"
#include "netstack/dns/dns_tcp.hpp"

namespace coracle::netstack {
namespace {

constexpr std::size_t kMostQueries = 128;  // of one container
constexpr int kQueriesATurn = 64;
constexpr std::uint32_t kLocalTtl_s = 60;

std::uint16_t random16() {
  std::uint16_t v = 0;
  // Cannot fail for so few bytes once the system is up. See getrandom(2).
  [[maybe_unused]] const auto n = ::getrandom(&v, sizeof v, 0);
  return v;
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

const std::vector<SocketAddress>& Resolvers::now() {
  struct stat st {};
  if (::stat(settings_.resolv_conf.c_str(), &st) != 0) {
    // Gone for a moment while it is replaced, or for good: what was known stays better than
    // nothing.
    return servers_;
  }
  if (same_file(st, seen_)) return servers_;
  auto text = read_file(settings_.resolv_conf, 64 * 1024);
  if (!text) return servers_;
  seen_ = st;
  servers_ = parse_resolv_conf(*text);
  for (auto& s : servers_) s.set_port(settings_.resolver_port);
  return servers_;
}

std::optional<DnsBytes> local_answer(const DnsSettings& settings,
                                     std::span<const std::uint8_t> query,
                                     const DnsQuestion& question) {
  if (question.name != "host.docker.internal" && question.name != "gateway.docker.internal")
    return std::nullopt;
  if (question.klass == kDnsIn && question.type == kDnsA)
    return make_address_answer(query, question, settings.gateway, kLocalTtl_s);
  return make_empty_answer(query, question, Rcode::no_error);
}

DnsServer::DnsServer(Loop& loop, Shares& shares, DnsSettings settings, std::vector<UniqueFd> udp)
    : loop_(loop),
      shares_(shares),
      settings_(settings),
      resolvers_(std::move(settings)),
      udp_(std::move(udp)),
      buffer_(kLongestMessage) {}

DnsServer::~DnsServer() = default;

Result<std::unique_ptr<DnsServer>> DnsServer::make(Loop& loop, Shares& shares, DnsSettings settings,
                                                   std::vector<UniqueFd> udp, UniqueFd tcp) {
  std::unique_ptr<DnsServer> server(new DnsServer(loop, shares, settings, std::move(udp)));
  for (const auto& udp_socket : server->udp_) {
    TRY(auto watch,
        loop.watch(udp_socket, EPOLLIN,
                   [s = server.get(), u = &udp_socket](std::uint32_t) { s->on_queries(*u); }));
    server->watches_.push_back(std::move(watch));
  }
  TRY(server->tcp_, DnsTcp::make(loop, shares, settings, server->resolvers_, std::move(tcp)));
  shares.on_close([s = server.get()](const TenantPtr& tenant) { s->queries_.erase(tenant.get()); });
  return server;
}

void DnsServer::on_queries(const UniqueFd& udp) {
  for (int i = 0; i < kQueriesATurn; ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const ssize_t n = ::recvfrom(udp.get(), buffer_.data(), buffer_.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) continue;
    take(SocketAddress::from(from), std::span(buffer_).first(static_cast<std::size_t>(n)));
  }
}

void DnsServer::take(const SocketAddress& client, std::span<const std::uint8_t> message) {
  const auto tenant = client.is_v4() ? shares_.find(client.v4()) : nullptr;
  if (!tenant) return;
  const auto question = parse_query(message);
  if (!question) return;  // not a query: no answer, so that nobody can be made to talk to himself
  if (const auto ours = local_answer(settings_, message, *question)) return reply(client, *ours);
  // A container that got no answer sends the same again: that query is under way.
  if (const auto mine = queries_.find(tenant.get()); mine != queries_.end()) {
    for (const auto& q : mine->second)
      if (q.client == client && dns_id(q.message) == question->id) return;
  }
  if (!make_room(tenant)) return;
  const auto& servers = resolvers_.now();
  if (servers.empty())
    return reply(client, make_empty_answer(message, *question, Rcode::server_failure));
  auto& mine = queries_[tenant.get()];
  const auto query = mine.emplace(mine.end());
  query->charge = Charge(tenant, 1);
  query->client = client;
  query->message.assign(message.begin(), message.end());
  query->servers = servers;
  ask_next(query);
}

// False: this query is lost. It comes again when its asker has waited long enough.
bool DnsServer::make_room(const TenantPtr& tenant) {
  const auto mine = queries_.find(tenant.get());
  const std::size_t count = mine == queries_.end() ? 0 : mine->second.size();
  if (count < kMostQueries && tenant->may_open(1)) return true;
  if (count == 0 || !tenant->may_displace()) return false;
  give_up(mine->second.begin());
  return tenant->may_open(1);
}

void DnsServer::give_up(Queries::iterator query) {
  if (const auto question = parse_query(query->message))
    reply(query->client, make_empty_answer(query->message, *question, Rcode::server_failure));
  forget(query);
}

void DnsServer::forget(Queries::iterator query) {
  const auto mine = queries_.find(query->charge.tenant().get());
  mine->second.erase(query);
  if (mine->second.empty()) queries_.erase(mine);
}

void DnsServer::ask_next(Queries::iterator query) {
  query->limit.reset();
  while (query->next < query->servers.size()) {
    const auto& server = query->servers[query->next++];
    if (!ask(*query, server)) continue;
    auto watch =
        loop_.watch(query->upstream, EPOLLIN, [this, query](std::uint32_t) { on_answer(query); });
    if (!watch) continue;
    query->watch = *std::move(watch);
    query->limit = loop_.after(kServerLimit, [this, query] { ask_next(query); });
    return;
  }
  give_up(query);
}

Result<> DnsServer::ask(Query& query, const SocketAddress& server) {
  query.watch.reset();
  query.upstream =
      UniqueFd(::socket(server.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!query.upstream) return sys_error("make a socket");
  // Connected: only this server's datagrams arrive, and its refusal is heard.
  if (::connect(query.upstream.get(), server.get(), server.size()) != 0)
    return sys_error("reach the resolver {}", server.text());
  query.id = random16();
  DnsBytes out = query.message;
  set_dns_id(out, query.id);
  if (::send(query.upstream.get(), out.data(), out.size(), 0) < 0)
    return sys_error("ask the resolver {}", server.text());
  return {};
}

void DnsServer::on_answer(Queries::iterator query) {
  const ssize_t n = ::recv(query->upstream.get(), buffer_.data(), buffer_.size(), 0);
  if (n < 0) {
    if (errno == EAGAIN) return;
    return ask_next(query);  // nobody listens there
  }
  const auto message = std::span(buffer_).first(static_cast<std::size_t>(n));
  if (!answers(message, query->message, query->id)) return;
  set_dns_id(message, dns_id(query->message));
  reply(query->client, message);
  forget(query);
}

void DnsServer::reply(const SocketAddress& client, std::span<const std::uint8_t> message) {
  [[maybe_unused]] const auto n =
      ::sendto(udp_.front().get(), message.data(), message.size(), 0, client.get(), client.size());
}

}  // namespace coracle::netstack
