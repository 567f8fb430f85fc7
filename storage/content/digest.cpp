#include "storage/content/digest.hpp"

#include <utility>

#include <openssl/evp.h>

#include "engine/base/ident.hpp"

namespace coracle::storage {
namespace {
constexpr std::string_view kPrefix = "sha256:";
}

bool is_digest(std::string_view text) {
  return text.starts_with(kPrefix) && is_hex_id(text.substr(kPrefix.size()));
}

std::string hex_of(std::string_view digest) {
  return std::string(digest.starts_with(kPrefix) ? digest.substr(kPrefix.size()) : digest);
}

std::string digest_of_hex(std::string_view hex) { return std::string(kPrefix).append(hex); }

Sha256::Sha256() : context_(::EVP_MD_CTX_new()) {
  ::EVP_DigestInit_ex(context_, ::EVP_sha256(), nullptr);
}
Sha256::~Sha256() { ::EVP_MD_CTX_free(context_); }
Sha256::Sha256(Sha256&& other) noexcept : context_(std::exchange(other.context_, nullptr)) {}

void Sha256::update(std::string_view bytes) {
  ::EVP_DigestUpdate(context_, bytes.data(), bytes.size());
}

std::string Sha256::finish() {
  std::string raw(32, '\0');
  unsigned size = 0;
  ::EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(raw.data()), &size);
  return digest_of_hex(to_hex(raw));
}

std::string sha256_of(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

std::string chain_id(const std::string& parent, const std::string& diff_id) {
  return parent.empty() ? diff_id : sha256_of(parent + " " + diff_id);
}

std::vector<std::string> chain_ids(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> out;
  for (const auto& diff_id : diff_ids)
    out.push_back(chain_id(out.empty() ? std::string() : out.back(), diff_id));
  return out;
}

}  // namespace coracle::storage
