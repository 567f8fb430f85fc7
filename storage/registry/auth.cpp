#include "storage/registry/auth.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>

#include "engine/base/ident.hpp"
#include "engine/base/json.hpp"
#include "engine/base/text.hpp"
#include "storage/content/digest.hpp"
#include "storage/registry/client.hpp"

namespace coracle::storage {
namespace {

constexpr std::int64_t kShortestToken_s = 60;  // what a token without expires_in is good for
constexpr std::int64_t kLongestToken_s = 24 * 60 * 60;  // what we keep one for at most
constexpr std::int64_t kMargin_s = 10;
constexpr std::size_t kMostTokens = 1000;
constexpr const char* kClientId = "coracle";

bool is_token_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// Walks over a header field's text.
struct HeaderText {
  std::string_view left;

  void skip(std::string_view any_of) {
    while (!left.empty() && any_of.find(left.front()) != std::string_view::npos)
      left.remove_prefix(1);
  }
  std::string_view word() {
    std::size_t n = 0;
    while (n < left.size() && is_token_char(left[n])) ++n;
    const auto out = left.substr(0, n);
    left.remove_prefix(n);
    return out;
  }
  std::string value() {
    if (!left.starts_with('"')) {
      // A token68 may hold "/" and "=".
      const auto end = std::min(left.find_first_of(", \t"), left.size());
      std::string out(left.substr(0, end));
      left.remove_prefix(end);
      return out;
    }
    left.remove_prefix(1);
    std::string out;
    while (!left.empty() && left.front() != '"') {
      if (left.front() == '\\' && left.size() > 1) left.remove_prefix(1);
      out += left.front();
      left.remove_prefix(1);
    }
    if (!left.empty()) left.remove_prefix(1);
    return out;
  }
};

struct TokenAnswer {
  std::string token, access_token, refresh_token;
  std::int64_t expires_in = 0;
};
void describe(auto& field, TokenAnswer& t) {
  field("token", t.token)("access_token", t.access_token)("refresh_token", t.refresh_token)(
      "expires_in", t.expires_in);
}

std::string basic(const RegistryAuth& auth) {
  return "Basic " + base64_encode(auth.username + ":" + auth.password);
}

std::string param(const Challenge& challenge, const std::string& name) {
  const auto found = challenge.params.find(name);
  return found == challenge.params.end() ? std::string{} : found->second;
}

// Whose token it is, without keeping the password as a key.
std::string key_of(const Challenge& challenge, const RegistryAuth& auth, const std::string& scope) {
  return param(challenge, "realm") + "\n" + param(challenge, "service") + "\n" + scope + "\n" +
         sha256_of(auth.username + "\n" + auth.password + "\n" + auth.identity_token);
}

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view header) {
  std::vector<Challenge> out;
  HeaderText text{header};
  for (;;) {
    text.skip(" \t,");
    const auto before = text.left;
    const auto word = text.word();
    if (word.empty()) return out;
    text.skip(" \t");
    if (!text.left.starts_with('=')) {
      out.push_back({lower(word), {}});
      continue;
    }
    // name=value belongs to the scheme before it.
    text.left.remove_prefix(1);
    text.skip(" \t");
    auto value = text.value();
    if (out.empty() || text.left.size() == before.size()) return out;
    out.back().params[lower(word)] = std::move(value);
  }
}

std::vector<Challenge> challenges_of(const HttpResponse& response) {
  if (response.foreign || response.status != 401) return {};
  return parse_challenges(response.header("www-authenticate"));
}

Task<std::string> RegistryAuthenticator::authorization(std::vector<Challenge> challenges,
                                                       RegistryAuth auth, std::string scope,
                                                       bool verify_tls,
                                                       CertificatesPtr certificates) {
  const auto of_scheme = [&challenges](const char* scheme) {
    return std::ranges::find_if(challenges,
                                [scheme](const Challenge& c) { return c.scheme == scheme; });
  };
  const auto bearer = of_scheme("bearer");
  if (!auth.registry_token.empty() && bearer != challenges.end())
    co_return "Bearer " + auth.registry_token;
  if (bearer != challenges.end() && !param(*bearer, "realm").empty()) {
    const std::string key = key_of(*bearer, auth, scope);
    const auto kept = tokens_.find(key);
    if (kept != tokens_.end() && kept->second.until > std::chrono::steady_clock::now())
      co_return "Bearer " + kept->second.value;
    CO_TRY(auto token,
           co_await fetch_token(*bearer, auth, scope, verify_tls, std::move(certificates)));
    std::erase_if(tokens_, [](const auto& entry) {
      return entry.second.until <= std::chrono::steady_clock::now();
    });
    if (tokens_.size() >= kMostTokens) tokens_.clear();
    std::string value = "Bearer " + token.value;
    tokens_[key] = std::move(token);
    co_return value;
  }
  if (of_scheme("basic") != challenges.end() && !auth.username.empty()) co_return basic(auth);
  co_return std::string{};
}

Task<RegistryAuthenticator::Login> RegistryAuthenticator::log_in(std::vector<Challenge> challenges,
                                                                 RegistryAuth auth, bool verify_tls,
                                                                 CertificatesPtr certificates) {
  const auto bearer = std::ranges::find(challenges, "bearer", &Challenge::scheme);
  Login out;
  if (bearer == challenges.end() || param(*bearer, "realm").empty() ||
      !auth.registry_token.empty()) {
    CO_TRY(out.authorization,
           co_await authorization(std::move(challenges), std::move(auth), std::string{}, verify_tls,
                                  std::move(certificates)));
    co_return out;
  }
  const bool offline = true;
  CO_TRY(auto token, co_await fetch_token(*bearer, std::move(auth), std::string{}, verify_tls,
                                          std::move(certificates), offline));
  out.authorization = "Bearer " + token.value;
  out.identity_token = std::move(token.refresh);
  co_return out;
}

Task<RegistryAuthenticator::Token> RegistryAuthenticator::fetch_token(
    Challenge challenge, RegistryAuth auth, std::string scope, bool verify_tls,
    CertificatesPtr certificates, bool offline) {
  const std::string realm = param(challenge, "realm");
  const std::string service = param(challenge, "service");
  if (verify_tls && !origin_of(realm).starts_with("https://")) {
    co_return fail(Errc::forbidden,
                   "get a token from {}: the registry is reached by https and its token server is "
                   "not; nothing was sent there",
                   realm.substr(0, 200));
  }
  HttpRequest request;
  request.verify_tls = verify_tls;
  request.certificates = std::move(certificates);
  request.url = realm;
  if (!auth.identity_token.empty()) {
    request.method = "POST";
    request.headers.emplace_back("Content-Type: application/x-www-form-urlencoded");
    request.body = "grant_type=refresh_token&client_id=" + std::string(kClientId) +
                   "&service=" + url_escape(service) +
                   "&refresh_token=" + url_escape(auth.identity_token);
    if (!scope.empty()) request.body += "&scope=" + url_escape(scope);
  } else {
    char separator = realm.find('?') == std::string::npos ? '?' : '&';
    const auto add = [&](const char* name, const std::string& value) {
      if (value.empty()) return;
      request.url += separator + std::string(name) + "=" + url_escape(value);
      separator = '&';
    };
    add("account", auth.username);
    add("client_id", kClientId);
    // Each by itself: servers do not take them apart.
    for (std::size_t at = 0; at < scope.size();) {
      const auto end = std::min(scope.find(' ', at), scope.size());
      add("scope", scope.substr(at, end - at));
      at = end + 1;
    }
    add("service", service);
    if (offline) add("offline_token", "true");
    if (!auth.username.empty()) request.authorization = basic(auth);
  }
  auto answer = co_await transfer_.request(std::move(request));
  if (!answer)
    co_return std::unexpected(answer.error().as(Errc::unavailable).within("Get \"{}\"", realm));
  if (answer->status == 401 || answer->status == 403) {
    const auto said = registry_message(*answer);
    co_return fail(Errc::unauthorized, "unauthorized: {}",
                   said.empty() ? "incorrect username or password" : said);
  }
  if (answer->status != 200) {
    co_return fail(Errc::unavailable, "the token server {} answered status {}", realm,
                   answer->status);
  }
  auto parsed = json::from_text<TokenAnswer>(answer->body);
  if (!parsed) co_return std::unexpected(parsed.error().within("read the token of {}", realm));
  Token token;
  token.value = parsed->token.empty() ? parsed->access_token : parsed->token;
  if (token.value.empty())
    co_return fail(Errc::unavailable,
                   "authorization server did not include a token in the response");
  token.refresh = std::move(parsed->refresh_token);
  token.until = std::chrono::steady_clock::now() +
                std::chrono::seconds(
                    std::clamp(parsed->expires_in, kShortestToken_s, kLongestToken_s) - kMargin_s);
  co_return token;
}

void RegistryAuthenticator::forget(const std::string& authorization) {
  std::erase_if(tokens_, [&authorization](const auto& entry) {
    return "Bearer " + entry.second.value == authorization;
  });
}

}  // namespace coracle::storage
