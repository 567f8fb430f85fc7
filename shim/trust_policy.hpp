// `policy` of daemon.json: {"registries": [SCOPE…], "require-digest": [SCOPE…],
// "digests": {"NAME:TAG": "sha256:…"}, "signatures": {SCOPE: [PATH of a public key…]}}.
#pragma once

#include <string>

#include "engine/base/result.hpp"
#include "storage/content/trust_policy.hpp"

namespace coracle::shim {

// Reads the keys too. A name that it does not know is an error: who mistypes a rule has none.
//   json    "": no policy
//   errors  invalid_argument, with the rule and the remedy; those of reading a key
Result<storage::TrustPolicy> parse_trust_policy(const std::string& json);

}  // namespace coracle::shim
