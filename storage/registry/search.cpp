#include "storage/registry/search.hpp"

#include <algorithm>
#include <utility>

#include "engine/base/json.hpp"
#include "engine/base/text.hpp"

namespace coracle::storage {
namespace {

constexpr const char* kHubSearch = "https://index.docker.io";
constexpr int kMostPages = 100;
constexpr int kPageNames = 1000;

struct SearchAnswer {
  std::vector<SearchResult> results;
};
void describe(auto& field, SearchAnswer& a) { field("results", a.results); }

struct Catalog {
  std::vector<std::string> repositories;
};
void describe(auto& field, Catalog& c) { field("repositories", c.repositories); }

void cut_to(std::vector<SearchResult>& results, int limit) {
  if (results.size() > static_cast<std::size_t>(limit))
    results.resize(static_cast<std::size_t>(limit));
}

std::string v1_url(const std::string& base, const std::string& term, int limit) {
  return fmt::format("{}/v1/search?q={}&n={}", base, url_escape(term), limit);
}

Result<std::vector<SearchResult>> results_in(const HttpResponse& answer, int limit) {
  auto parsed = json::from_text<SearchAnswer>(answer.body);
  if (!parsed) return std::unexpected(parsed.error().within("read what the registry has found"));
  cut_to(parsed->results, limit);
  return std::move(parsed->results);
}

Task<std::vector<SearchResult>> search_catalog(RegistryClient& client,
                                               RegistryClient::Session session, SearchTerm wanted,
                                               int limit) {
  std::vector<SearchResult> out;
  session.scope = "registry:catalog:*";
  std::string url = fmt::format("{}/v2/_catalog?n={}", session.endpoint.base, kPageNames);
  for (int page = 0; page < kMostPages && !url.empty(); ++page) {
    HttpRequest request;
    request.url = url;
    CO_TRY(const auto answer, co_await client.send(session, std::move(request)));
    if (answer.status != 200) co_return std::unexpected(registry_error(answer));
    const auto catalog = json::from_text<Catalog>(answer.body);
    if (!catalog) co_return std::unexpected(catalog.error().within("read the catalog"));
    for (const auto& name : catalog->repositories) {
      if (name.find(wanted.term) == std::string::npos) continue;
      SearchResult found;
      found.name = wanted.domain + "/" + name;
      out.push_back(std::move(found));
    }
    if (out.size() >= static_cast<std::size_t>(limit)) break;
    const auto next = next_page(answer);
    url = next.empty() ? std::string{} : resolve_url(url, next);
  }
  cut_to(out, limit);
  co_return out;
}

}  // namespace

SearchTerm split_term(const std::string& text) {
  const auto slash = text.find('/');
  const auto first = text.substr(0, slash);
  const bool host = first.find_first_of(".:") != std::string::npos || first == "localhost";
  if (slash != std::string::npos && host) {
    const bool hub = first == kDefaultDomain || first == "index.docker.io";
    return {hub ? kDefaultDomain : first, text.substr(slash + 1)};
  }
  return {kDefaultDomain, text.starts_with("library/") ? text.substr(8) : text};
}

Task<std::vector<SearchResult>> search(RegistryClient& client, std::string text, int limit,
                                       RegistryAuth auth) {
  if (text.find("://") != std::string::npos)
    co_return fail(Errc::invalid_argument,
                   "invalid repository name: repository name ({}) should not have a scheme", text);
  const auto wanted = split_term(text);
  RegistryClient::Session session;
  if (wanted.domain == kDefaultDomain) {
    CO_CHECK(may_contact_host(client.policy(), kDefaultDomain));
    session.endpoint.base = kHubSearch;
    Challenge basic;
    basic.scheme = "basic";
    session.challenges.push_back(std::move(basic));
    session.auth = std::move(auth);
  } else {
    Reference registry;
    registry.domain = wanted.domain;
    std::size_t tried = 0;
    CO_TRY(session, co_await client.connect(std::move(registry), std::move(auth), &tried));
  }
  HttpRequest request;
  request.url = v1_url(session.endpoint.base, wanted.term, limit);
  CO_TRY(const auto answer, co_await client.send(session, std::move(request)));
  if (answer.status == 200) co_return results_in(answer, limit);
  if (wanted.domain == kDefaultDomain) co_return std::unexpected(registry_error(answer));
  co_return co_await search_catalog(client, std::move(session), wanted, limit);
}

}  // namespace coracle::storage
