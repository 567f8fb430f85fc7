#include "storage/registry/client.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/text.hpp"

namespace coracle::storage {
namespace {

constexpr std::chrono::minutes kPingKept{10};
constexpr std::size_t kMostDocument = std::size_t{16} << 20;  // of a manifest or configuration
constexpr const char* kHub = "docker.io";
constexpr const char* kHubAddress = "https://registry-1.docker.io";

struct RegistryErrors {
  struct One {
    std::string code, message;
  };
  std::vector<One> errors;
  std::string details, message;  // of token servers, of proxies
};
void describe(auto& field, RegistryErrors::One& e) { field("code", e.code)("message", e.message); }
void describe(auto& field, RegistryErrors& e) {
  field("errors", e.errors)("details", e.details)("message", e.message);
}

RegistryErrors errors_in(const HttpResponse& response) {
  auto parsed = json::from_text<RegistryErrors>(response.body);
  return parsed ? *std::move(parsed) : RegistryErrors{};
}

// MANIFEST_UNKNOWN is "manifest unknown" in the texts.
std::string spelled_out(std::string code) {
  for (auto& c : code) c = c == '_' ? ' ' : static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return code;
}

std::string host_without_port(const std::string& host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

bool in_network(const std::string& host, const std::string& cidr) {
  const auto slash = cidr.find('/');
  if (slash == std::string::npos) return false;
  unsigned bits = 0;
  const char* end = cidr.data() + cidr.size();
  if (std::from_chars(cidr.data() + slash + 1, end, bits).ptr != end) return false;
  std::array<unsigned char, 16> address{};
  std::array<unsigned char, 16> network{};
  const std::string base = cidr.substr(0, slash);
  const std::string name = host_without_port(host);
  const int family = base.find(':') == std::string::npos ? AF_INET : AF_INET6;
  if (::inet_pton(family, name.c_str(), address.data()) != 1 ||
      ::inet_pton(family, base.c_str(), network.data()) != 1 ||
      bits > (family == AF_INET ? 32U : 128U))
    return false;
  for (unsigned i = 0; i < bits; ++i) {
    const unsigned mask = 0x80U >> (i % 8);
    if (((address.at(i / 8) ^ network.at(i / 8)) & mask) != 0) return false;
  }
  return true;
}

bool is_insecure(const std::string& domain, const RegistryConfig& config) {
  if (is_loopback(domain)) return true;
  return std::ranges::any_of(config.insecure, [&domain](const std::string& entry) {
    return entry == domain || entry == host_without_port(domain) || in_network(domain, entry);
  });
}

std::string without_slash(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

// "https://index.docker.io/v1/" and "" are the default registry; "http://host:5000/x" is host:5000.
std::string domain_of(const std::string& server_address) {
  std::string host = server_address;
  if (const auto at = host.find("://"); at != std::string::npos) host.erase(0, at + 3);
  host = host.substr(0, host.find('/'));
  if (host.empty() || host == "index.docker.io" || host == "registry-1.docker.io") return kHub;
  return host;
}

// As Go names it in its errors: "Get", "Put".
std::string verb(const HttpRequest& request) {
  return request.method.substr(0, 1) + lower(request.method.substr(1));
}

Error ping_error(const Error& why, const Endpoint& endpoint) {
  Error error = why.as(Errc::internal).within("Get \"{}/v2/\"", endpoint.base);
  if (endpoint.verify_tls && why.message.starts_with("http: server gave HTTP response")) {
    error.message +=
        "; if this registry is meant to be used without TLS, name it in "
        "insecure-registries of daemon.json";
  }
  return error;
}

}  // namespace

std::vector<Endpoint> endpoints_for(const std::string& domain, const RegistryConfig& config) {
  std::vector<Endpoint> out;
  const auto add = [&](const std::string& base, bool insecure, bool mirror) {
    out.push_back({without_slash(base), !insecure, mirror});
  };
  if (domain == kHub || domain == "index.docker.io") {
    for (const auto& mirror : config.mirrors) {
      const bool plain = mirror.starts_with("http://");
      const std::string host = domain_of(mirror);
      add(mirror.find("://") == std::string::npos ? "https://" + mirror : mirror,
          plain || is_insecure(host, config), true);
    }
    add(kHubAddress, false, false);
    return out;
  }
  const bool insecure = is_insecure(domain, config);
  add("https://" + domain, insecure, false);
  if (insecure) add("http://" + domain, insecure, false);
  return out;
}

std::string registry_message(const HttpResponse& response) {
  const auto all = errors_in(response);
  if (!all.errors.empty() && !all.errors.front().message.empty()) return all.errors.front().message;
  return all.details.empty() ? all.message : all.details;
}

std::string registry_code(const HttpResponse& response) {
  const auto all = errors_in(response);
  return all.errors.empty() ? std::string{} : all.errors.front().code;
}

std::string next_page(const HttpResponse& answer) {
  const std::string link = answer.header("link");
  const auto start = link.find('<');
  const auto end = link.find('>');
  if (start == std::string::npos || end == std::string::npos || end < start ||
      link.find("next", end) == std::string::npos)
    return {};
  return link.substr(start + 1, end - start - 1);
}

Error registry_error(const HttpResponse& response) {
  const std::string code = registry_code(response);
  const std::string said = registry_message(response);
  std::string text = fmt::format("received unexpected HTTP status: {}{}{}", response.status,
                                 said.empty() ? "" : ": ", said);
  if (!code.empty()) text = fmt::format("{}: {}", spelled_out(code), said);
  return {response.status == 401 ? Errc::unauthorized : Errc::internal, 0, std::move(text)};
}

Error pull_error(const HttpResponse& response, const Reference& ref, bool with_credentials) {
  const std::string code = registry_code(response);
  std::string said = registry_message(response);
  const auto answer = [](Errc errc, std::string text) { return Error{errc, 0, std::move(text)}; };
  const auto denied = [&](const std::string& reason) {
    return answer(Errc::not_found,
                  fmt::format("pull access denied for {}, repository does not exist or may require "
                              "'docker login': denied: {}",
                              ref.familiar_name(), reason));
  };
  if (response.foreign && (response.status == 401 || response.status == 403)) {
    return answer(Errc::internal,
                  fmt::format("{}: the host that the registry sends us to refuses: status {}; it "
                              "gets no credentials",
                              ref.familiar(), response.status));
  }
  bool scope = false;
  for (const auto& challenge : parse_challenges(response.header("www-authenticate"))) {
    const auto found = challenge.params.find("error");
    scope = scope || (found != challenge.params.end() && found->second == "insufficient_scope");
  }
  if (response.status == 401 && !scope && code != "DENIED") {
    if (said.empty()) said = "authentication required";
    if (!with_credentials) said += "; log in with docker login";
    return answer(Errc::unauthorized, fmt::format("unauthorized: {}", said));
  }
  if (response.status == 401 || response.status == 403 || code == "DENIED")
    return denied(said.empty() || scope ? "requested access to the resource is denied" : said);
  if (code == "NAME_UNKNOWN") {
    return answer(Errc::not_found,
                  fmt::format("pull access denied for {}, repository does not exist or may require "
                              "'docker login': name unknown: {}",
                              ref.familiar_name(), said));
  }
  if (code == "BLOB_UNKNOWN")
    return answer(Errc::not_found, fmt::format("{}: {}", spelled_out(code), said));
  if (response.status == 404) {
    return answer(Errc::not_found,
                  fmt::format("manifest for {} not found: {}: {}", ref.familiar(),
                              code.empty() ? "manifest unknown" : spelled_out(code),
                              said.empty() ? "manifest unknown" : said));
  }
  return registry_error(response);
}

Task<CertificatesPtr> RegistryClient::certificates_of(std::string base) {
  if (!base.starts_with("https://")) co_return CertificatesPtr();
  auto read = [folders = config_.certificate_folders, host = base.substr(base.find("://") + 3)] {
    return read_certificates(folders, host);
  };
  co_return co_await workers_.run(std::move(read));
}

Task<RegistryClient::Known> RegistryClient::ping(Endpoint endpoint) {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(known_, [now](const auto& entry) { return entry.second.until <= now; });
  if (const auto found = known_.find(endpoint.base); found != known_.end()) co_return found->second;
  HttpRequest request;
  request.url = endpoint.base + "/v2/";
  request.verify_tls = endpoint.verify_tls;
  request.certificates = endpoint.certificates;
  auto answer = co_await transfer_.request(std::move(request));
  if (!answer) co_return std::unexpected(ping_error(answer.error(), endpoint));
  Known known;
  known.challenges = challenges_of(*answer);
  known.foreign = answer->foreign && answer->status == 401;
  known.until = now + kPingKept;
  if (answer->status == 401 || answer->status == 200) known_[endpoint.base] = known;
  co_return known;
}

Task<RegistryClient::Session> RegistryClient::connect(Reference ref, RegistryAuth auth,
                                                      std::size_t* after) {
  const auto allowed = ref.path.empty() ? may_contact_host(config_.policy, ref.domain)
                                        : may_contact(config_.policy, canonical_name(ref));
  if (!allowed) co_return std::unexpected(allowed.error());
  const auto endpoints = endpoints_for(ref.domain, config_);
  Error last{Errc::internal, 0, fmt::format("no registry for {}", ref.familiar_name())};
  for (; *after < endpoints.size(); ++*after) {
    Endpoint endpoint = endpoints[*after];
    CO_TRY(endpoint.certificates, co_await certificates_of(endpoint.base));
    auto known = co_await ping(endpoint);
    if (known) {
      ++*after;
      Session session;
      if (!endpoint.mirror) session.auth = std::move(auth);
      session.endpoint = std::move(endpoint);
      session.challenges = std::move(known->challenges);
      session.repository = ref.path;
      co_return session;
    }
    last = known.error();
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) break;
    log::debug("registry does not answer reason={}", last.message);
  }
  co_return std::unexpected(last);
}

Task<std::string> RegistryClient::authorization(const Session& session, const std::string& url) {
  if (origin_of(url) != origin_of(session.endpoint.base)) co_return std::string{};
  std::string scope =
      session.scope.empty() ? "repository:" + session.repository + ":pull" : session.scope;
  co_return co_await auth_.authorization(session.challenges, session.auth, std::move(scope),
                                         session.endpoint.verify_tls,
                                         session.endpoint.certificates);
}

Task<HttpResponse> RegistryClient::send(Session session, HttpRequest request) {
  request.verify_tls = session.endpoint.verify_tls;
  request.certificates = session.endpoint.certificates;
  for (int round = 0;; ++round) {
    CO_TRY(request.authorization, co_await authorization(session, request.url));
    HttpRequest sent = request;
    auto answer = co_await transfer_.request(std::move(sent), kMostDocument);
    if (!answer) {
      co_return std::unexpected(
          answer.error().as(Errc::internal).within("{} \"{}\"", verb(request), request.url));
    }
    if (answer->status != 401 || answer->foreign || round > 0) co_return answer;
    // A token that has expired meanwhile, or a challenge that /v2/ did not make.
    auth_.forget(request.authorization);
    auto asked = challenges_of(*answer);
    if (request.authorization.empty() && asked.empty()) co_return answer;
    if (!asked.empty()) session.challenges = std::move(asked);
  }
}

Task<HttpResponse> RegistryClient::upload(Session session, HttpRequest request,
                                          std::shared_ptr<UploadQueue> from, std::int64_t length,
                                          std::function<void(std::size_t)> sent) {
  request.verify_tls = session.endpoint.verify_tls;
  request.certificates = session.endpoint.certificates;
  CO_TRY(request.authorization, co_await authorization(session, request.url));
  const std::string used = request.authorization;
  auto answer =
      co_await transfer_.upload(std::move(request), std::move(from), length, std::move(sent));
  if (answer && answer->status == 401) auth_.forget(used);
  co_return answer;
}

Task<HttpResponse> RegistryClient::get(Session session, std::string path,
                                       std::vector<std::string> accept, std::string method) {
  HttpRequest request;
  request.method = std::move(method);
  request.url = session.url(path);
  for (const auto& type : accept) request.headers.push_back("Accept: " + type);
  return send(std::move(session), std::move(request));
}

Task<HttpResponse> RegistryClient::get_blob(Session session, std::string digest,
                                            std::int64_t offset, std::shared_ptr<ByteQueue> into,
                                            std::function<void(std::size_t)> received) {
  for (int round = 0;; ++round) {
    HttpRequest request;
    request.url = session.url("blobs/" + digest);
    request.verify_tls = session.endpoint.verify_tls;
    request.certificates = session.endpoint.certificates;
    CO_TRY(request.authorization, co_await authorization(session, request.url));
    const std::string used = request.authorization;
    auto answer = co_await transfer_.stream(std::move(request), offset, into, received);
    if (!answer || answer->status != 401 || answer->foreign || round > 0) co_return answer;
    auth_.forget(used);
    auto asked = challenges_of(*answer);
    if (used.empty() && asked.empty()) co_return answer;
    if (!asked.empty()) session.challenges = std::move(asked);
  }
}

Task<HttpResponse> RegistryClient::get_elsewhere(Session session, std::string url,
                                                 std::int64_t offset,
                                                 std::shared_ptr<ByteQueue> into,
                                                 std::function<void(std::size_t)> received) {
  const bool plain = url.starts_with("http://") && session.endpoint.base.starts_with("http://");
  if (!plain && !url.starts_with("https://"))
    co_return fail(Errc::invalid_argument, "\"{}\": a layer is not fetched from there", url);
  HttpRequest request;
  request.url = std::move(url);
  co_return co_await transfer_.stream(std::move(request), offset, std::move(into),
                                      std::move(received));
}

Task<std::string> RegistryClient::login(RegistryAuth auth) {
  const std::string domain = domain_of(auth.server_address);
  CO_CHECK(may_contact_host(config_.policy, domain));
  RegistryConfig no_mirrors = config_;
  no_mirrors.mirrors.clear();
  Error last{Errc::internal, 0, "no registry"};
  for (Endpoint endpoint : endpoints_for(domain, no_mirrors)) {
    CO_TRY(endpoint.certificates, co_await certificates_of(endpoint.base));
    const auto known = co_await ping(endpoint);
    if (!known) {
      last = known.error();
      const auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none) break;
      continue;
    }
    HttpRequest request;
    request.url = endpoint.base + "/v2/";
    if (known->foreign) {
      co_return fail(Errc::unauthorized,
                     "login attempt to {}: it was answered by another host, which asks for the "
                     "credentials and does not get them",
                     request.url);
    }
    if (known->challenges.empty()) co_return std::string{};  // asks nobody
    request.verify_tls = endpoint.verify_tls;
    request.certificates = endpoint.certificates;
    auto in =
        co_await auth_.log_in(known->challenges, auth, endpoint.verify_tls, endpoint.certificates);
    if (!in) co_return std::unexpected(in.error().within("Get \"{}\"", request.url));
    request.authorization = in->authorization;
    const std::string url = request.url;
    auto answer = co_await transfer_.request(std::move(request));
    if (!answer) co_return std::unexpected(ping_error(answer.error(), endpoint));
    if (answer->status == 200) co_return std::move(in->identity_token);
    co_return fail(
        answer->status == 401 || answer->status == 403 ? Errc::unauthorized : Errc::internal,
        "login attempt to {} failed with status: {}{}", url, answer->status,
        answer->status == 401 ? " Unauthorized" : "");
  }
  co_return std::unexpected(last);
}

}  // namespace coracle::storage
