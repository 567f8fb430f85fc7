// docker search: what a registry finds for a term. Docker Hub, and registries that kept it, answer
// version 1 of the API; of others the catalog is read, and the names that hold the term are taken.
#pragma once

#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/registry/client.hpp"
#include "storage/registry/credentials.hpp"
#include "storage/registry/search_result.hpp"

namespace coracle::storage {

// Where a term is looked for, and what: "host:5000/term" names a registry, any other is Docker
// Hub's.
struct SearchTerm {
  std::string domain, term;
  bool operator==(const SearchTerm&) const = default;
};
SearchTerm split_term(const std::string& text);

//   limit   of the answers
//   errors  invalid_argument: no term; the registry's, in its words
Task<std::vector<SearchResult>> search(RegistryClient& client, std::string text, int limit,
                                       RegistryAuth auth);

}  // namespace coracle::storage
