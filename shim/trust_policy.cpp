#include "shim/trust_policy.hpp"

#include <cstddef>
#include <map>
#include <utility>
#include <vector>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"

namespace coracle::shim {
namespace {

constexpr std::size_t kLongestKey = std::size_t{64} << 10;

using KeyFiles = std::map<std::string, std::vector<std::string>>;

Result<std::string> read_key(const std::string& path) {
  if (!path.starts_with('/'))
    return fail(Errc::invalid_argument, "\"{}\" is not an absolute path", path);
  TRY(auto pem, read_file(path, kLongestKey));
  if (!storage::is_public_key(pem))
    return fail(Errc::invalid_argument, "{} holds no public key in PEM (as cosign.pub does)", path);
  return pem;
}

Result<> read_keys(const KeyFiles& files, storage::TrustPolicy& policy) {
  for (const auto& [scope, paths] : files) {
    auto& keys = policy.signatures[scope];
    for (const auto& path : paths) {
      auto key = read_key(path);
      if (!key)
        return std::unexpected(
            key.error().as(Errc::invalid_argument).within("policy.signatures: {}", scope));
      keys.push_back(*std::move(key));
    }
  }
  return {};
}

}  // namespace

Result<storage::TrustPolicy> parse_trust_policy(const std::string& json) {
  storage::TrustPolicy policy;
  if (json.empty()) return policy;
  TRY(const auto rules, json::parse(json));
  for (const auto& [name, value] : rules.get_object()) {
    const auto take = [&name, &value](auto& into) -> Result<> {
      auto read = json::from_json<std::remove_reference_t<decltype(into)>>(value);
      if (!read) return std::unexpected(read.error().within("policy.{}", std::string(name)));
      into = *std::move(read);
      return {};
    };
    KeyFiles files;
    if (name == "registries") {
      CHECK(take(policy.registries));
      if (policy.registries.empty())
        return fail(Errc::invalid_argument,
                    "policy.registries: it is empty: leave it out to allow every registry");
    } else if (name == "require-digest") {
      CHECK(take(policy.by_digest_only));
    } else if (name == "digests") {
      CHECK(take(policy.digests));
    } else if (name == "signatures") {
      CHECK(take(files));
      CHECK(read_keys(files, policy));
    } else {
      return fail(Errc::invalid_argument,
                  "policy.{}: no such rule (registries, require-digest, digests, signatures)",
                  std::string(name));
    }
  }
  CHECK(storage::check_trust_policy(policy));
  return policy;
}

}  // namespace coracle::shim
