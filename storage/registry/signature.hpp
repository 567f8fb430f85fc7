// Signatures beside an image in its registry, as cosign and skopeo put them there: a manifest under
// the tag "sha256-HEX.sig", each layer of which is a statement (simple signing) with its signature
// in an annotation. See sigstore/cosign, specs/SIGNATURE_SPEC.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/content/descriptor.hpp"
#include "storage/content/trust_policy.hpp"
#include "storage/images/reference.hpp"
#include "storage/registry/client.hpp"

namespace coracle::storage {

// "sha256-HEX.sig"
std::string signature_tag(const std::string& digest);

// The statements that a manifest of signatures lists, with their signatures; others are left out.
//   errors  invalid_argument
struct SignedStatement {
  Descriptor statement;
  std::string signature;  // not base64
};
Result<std::vector<SignedStatement>> parse_signatures(std::string_view manifest);

// Does the statement speak of this digest in this repository?
//   errors  forbidden, with what it speaks of instead
Result<> check_statement(std::string_view statement, const std::string& repository,
                         const std::string& digest);

// Has the holder of one of the rule's keys signed one of the digests, as an image of this name?
//   digests  what the name stands for, and the manifest that an index led to
//   errors   forbidden, with what was found
Task<> check_signed(RegistryClient& client, RegistryClient::Session session, Reference ref,
                    std::vector<std::string> digests, std::string scope,
                    std::vector<std::string> keys);

}  // namespace coracle::storage
