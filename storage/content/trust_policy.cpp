#include "storage/content/trust_policy.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "storage/content/digest.hpp"

namespace coracle::storage {
namespace {

using PublicKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

PublicKey read_key(const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bytes(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  // It asks nobody for a password.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  return {bytes ? PEM_read_bio_PUBKEY(bytes.get(), nullptr, no_password, nullptr) : nullptr,
          &EVP_PKEY_free};
}

std::pair<std::string_view, std::string_view> host_and_path(std::string_view name) {
  const auto slash = name.find('/');
  if (slash == std::string_view::npos) return {name, {}};
  return {name.substr(0, slash), name.substr(slash + 1)};
}

bool is_host_in(std::string_view scope_host, std::string_view host) {
  if (scope_host == "*") return true;
  if (scope_host.starts_with("*.")) return host.ends_with(scope_host.substr(1));
  return host == scope_host;
}

bool is_host(std::string_view text) {
  return text == "*" || text == "localhost" || text.find_first_of(".:") != std::string_view::npos;
}

Result<> check_scope(const char* key, const std::string& scope) {
  const auto [host, path] = host_and_path(scope);
  const auto wrong = [&](const std::string& why) {
    return fail(Errc::invalid_argument, "policy.{}: \"{}\": {}", key, scope, why);
  };
  if (!is_host(host))
    return wrong("it must begin with a registry's name, as docker.io/library/alpine does");
  if (host == "index.docker.io" || host == "registry-1.docker.io") return wrong("say docker.io");
  const auto wild = scope.find('*', host.starts_with('*') ? 1 : 0);
  const bool domain = host.starts_with("*.") && host.size() > 2;
  if (wild != std::string::npos || (host.starts_with('*') && host != "*" && !domain))
    return wrong("* stands alone, or as *.DOMAIN at the beginning");
  if (host == "*" && !path.empty()) return wrong("* stands alone");
  if (scope.ends_with('/') || path.starts_with('/')) return wrong("a part of the name is empty");
  if (path.find_first_of("@:") != std::string_view::npos)
    return wrong("it names repositories, without tags and digests");
  return {};
}

// "docker.io, *.example.com"
std::string listed(const std::vector<std::string>& scopes) {
  std::string out;
  for (const auto& scope : scopes) out += (out.empty() ? "" : ", ") + scope;
  return out;
}

std::unexpected<Error> not_among(const TrustPolicy& policy, const std::string& what) {
  return fail(Errc::forbidden,
              "{} is refused by the policy in daemon.json: policy.registries are {}", what,
              listed(policy.registries));
}

}  // namespace

Result<> check_trust_policy(const TrustPolicy& policy) {
  for (const auto& scope : policy.registries) CHECK(check_scope("registries", scope));
  for (const auto& scope : policy.by_digest_only) CHECK(check_scope("require-digest", scope));
  for (const auto& [name, digest] : policy.digests) {
    const auto colon = name.rfind(':');
    if (colon == std::string::npos || name.find('/', colon) != std::string::npos)
      return fail(Errc::invalid_argument, "policy.digests: \"{}\": it has no tag", name);
    CHECK(check_scope("digests", name.substr(0, colon)));
    if (name.starts_with('*') || name.find('/') == std::string::npos)
      return fail(Errc::invalid_argument, "policy.digests: \"{}\": it names one image", name);
    if (!is_digest(digest))
      return fail(Errc::invalid_argument, "policy.digests: {}: \"{}\" is no digest", name, digest);
  }
  for (const auto& [scope, keys] : policy.signatures) CHECK(check_scope("signatures", scope));
  return {};
}

bool is_public_key(const std::string& pem) { return read_key(pem) != nullptr; }

bool in_scope(std::string_view scope, std::string_view repository) {
  const auto [host, path] = host_and_path(scope);
  const auto [of_host, of_path] = host_and_path(repository);
  if (!is_host_in(host, of_host)) return false;
  return path.empty() || (of_path.starts_with(path) &&
                          (of_path.size() == path.size() || of_path[path.size()] == '/'));
}

Result<> may_contact(const TrustPolicy& policy, const std::string& repository) {
  const auto fits = [&](const std::string& scope) { return in_scope(scope, repository); };
  if (policy.registries.empty() || std::ranges::any_of(policy.registries, fits)) return {};
  return not_among(policy, repository);
}

Result<> may_contact_host(const TrustPolicy& policy, const std::string& host) {
  const auto fits = [&](const std::string& scope) {
    return is_host_in(host_and_path(scope).first, host);
  };
  if (policy.registries.empty() || std::ranges::any_of(policy.registries, fits)) return {};
  return not_among(policy, "registry " + host);
}

Result<> may_pull(const TrustPolicy& policy, const std::string& repository, const std::string& tag,
                  const std::string& digest) {
  CHECK(may_contact(policy, repository));
  if (!digest.empty()) return {};
  for (const auto& scope : policy.by_digest_only) {
    if (!in_scope(scope, repository)) continue;
    return fail(Errc::forbidden,
                "{}:{} is refused by the policy in daemon.json: policy.require-digest names {}: "
                "pull it as {}@sha256:…",
                repository, tag, scope, repository);
  }
  return {};
}

Result<> check_pinned(const TrustPolicy& policy, const std::string& repository,
                      const std::string& tag, const std::string& found) {
  const auto pinned = policy.digests.find(repository + ":" + tag);
  if (tag.empty() || pinned == policy.digests.end() || pinned->second == found) return {};
  return fail(Errc::forbidden,
              "{}:{} is refused by the policy in daemon.json: policy.digests pins it to {}, and "
              "the registry has {}",
              repository, tag, pinned->second, found);
}

const std::pair<const std::string, std::vector<std::string>>* signature_rule(
    const TrustPolicy& policy, const std::string& repository) {
  const std::pair<const std::string, std::vector<std::string>>* best = nullptr;
  for (const auto& rule : policy.signatures) {
    if (in_scope(rule.first, repository) && (!best || rule.first.size() > best->first.size()))
      best = &rule;
  }
  return best != nullptr && best->second.empty() ? nullptr : best;
}

bool is_signed(const std::string& public_key, std::string_view bytes, std::string_view signature) {
  const auto key = read_key(public_key);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  if (!key || !context) return false;
  // Ed25519 has its hash within.
  const auto* hash = EVP_PKEY_is_a(key.get(), "ED25519") == 1 ? nullptr : EVP_sha256();
  if (EVP_DigestVerifyInit(context.get(), nullptr, hash, nullptr, key.get()) != 1) return false;
  const auto as_bytes = [](std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  };
  return EVP_DigestVerify(context.get(), as_bytes(signature), signature.size(), as_bytes(bytes),
                          bytes.size()) == 1;
}

}  // namespace coracle::storage
