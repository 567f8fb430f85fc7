// sha256 names: of blobs (as received), of layers' tars (diff ids) and of stacks of layers (chain
// ids). Written "sha256:" and 64 lower-case hex digits; in paths only the digits.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"

struct evp_md_ctx_st;

namespace coracle::storage {

// "sha256:" and 64 lower-case hex digits.
bool is_digest(std::string_view text);
// The hex digits of a digest; of anything else the text itself.
std::string hex_of(std::string_view digest);
std::string digest_of_hex(std::string_view hex);

// A sha256 that is fed piece by piece. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&& other) noexcept;
  Sha256& operator=(Sha256&&) = delete;
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::string_view bytes);
  // Ends it: "sha256:…". Called once.
  std::string finish();

 private:
  evp_md_ctx_st* context_;
};

std::string sha256_of(std::string_view bytes);

// The chain id of a layer: its diff id for the lowest (parent ""), else the digest of
// "PARENT DIFF". See the OCI image-spec, config.md.
std::string chain_id(const std::string& parent, const std::string& diff_id);
// The chain ids of a stack, lowest first, as `diff_ids`.
std::vector<std::string> chain_ids(const std::vector<std::string>& diff_ids);

}  // namespace coracle::storage
