// What the user's engine may take from registries: `policy` in daemon.json. Empty: anything.
//
// A scope is the beginning of a repository's canonical name, cut at a slash: "docker.io",
// "docker.io/library", "127.0.0.1:5000/team/app"; "*.example.com" stands for every host below that
// domain, "*" for every registry. As in containers-policy.json(5).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle::storage {

struct TrustPolicy {
  std::vector<std::string> registries;         // scopes that are spoken with; none: all
  std::vector<std::string> by_digest_only;     // scopes whose images are pulled by digest
  std::map<std::string, std::string> digests;  // "docker.io/library/alpine:3" -> the one it has
  // Scope -> public keys (PEM); one of them has signed each image. No key: none need have.
  std::map<std::string, std::vector<std::string>> signatures;
};

// Is it all well formed? Keys are not looked at.
//   errors  invalid_argument, with the rule's name in daemon.json
Result<> check_trust_policy(const TrustPolicy& policy);
bool is_public_key(const std::string& pem);

bool in_scope(std::string_view scope, std::string_view repository);

// Names are canonical: "docker.io/library/alpine".   errors  forbidden, with the remedy
Result<> may_contact(const TrustPolicy& policy, const std::string& repository);
// A host alone, to log in or search there.
Result<> may_contact_host(const TrustPolicy& policy, const std::string& host);
//   tag, digest  as the client gave them; one is ""
Result<> may_pull(const TrustPolicy& policy, const std::string& repository, const std::string& tag,
                  const std::string& digest);
//   found  the digest that the registry has under the tag
Result<> check_pinned(const TrustPolicy& policy, const std::string& repository,
                      const std::string& tag, const std::string& found);
// The rule of the narrowest scope; nullptr when none fits, or it asks for no key.
const std::pair<const std::string, std::vector<std::string>>* signature_rule(
    const TrustPolicy& policy, const std::string& repository);

// Was it signed by the private half? ECDSA, RSA (PKCS #1) and Ed25519, of SHA-256.
//   signature  as it is, not base64
bool is_signed(const std::string& public_key, std::string_view bytes, std::string_view signature);

}  // namespace coracle::storage
