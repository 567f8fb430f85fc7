#include "storage/registry/signature.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/base/ident.hpp"
#include "engine/base/json.hpp"
#include "storage/content/digest.hpp"

namespace coracle::storage {
namespace {

constexpr const char* kStatementType = "application/vnd.dev.cosign.simplesigning.v1+json";
constexpr const char* kSignatureKey = "dev.cosignproject.cosign/signature";
constexpr std::string_view kSaysImage = "cosign container image signature";
constexpr std::size_t kMostStatements = 64;
constexpr std::int64_t kLongestStatement = std::int64_t{64} << 10;

struct SignatureList {
  std::vector<Descriptor> layers;
};
void describe(auto& field, SignatureList& l) { field("layers", l.layers); }

// containers-signature(5)
struct Statement {
  struct Critical {
    struct Identity {
      std::string reference;
    } identity;
    struct Image {
      std::string digest;
    } image;
    std::string type;
  } critical;
};
void describe(auto& field, Statement::Critical::Identity& i) {
  field("docker-reference", i.reference);
}
void describe(auto& field, Statement::Critical::Image& i) {
  field("docker-manifest-digest", i.digest);
}
void describe(auto& field, Statement::Critical& c) {
  field("identity", c.identity)("image", c.image)("type", c.type);
}
void describe(auto& field, Statement& s) { field("critical", s.critical); }

Task<std::string> get_statement(RegistryClient& client, RegistryClient::Session session,
                                Descriptor wanted) {
  std::string path = "blobs/" + wanted.digest;
  CO_TRY(auto answer, co_await client.get(std::move(session), std::move(path), {}));
  if (answer.status != 200) co_return std::unexpected(registry_error(answer));
  if (sha256_of(answer.body) != wanted.digest)
    co_return fail(Errc::invalid_argument, "its bytes are not those of {}", wanted.digest);
  co_return std::move(answer.body);
}

// Why none of a digest's signatures will do; nothing: one does.
Task<std::optional<std::string>> look_for(RegistryClient& client, RegistryClient::Session session,
                                          std::string repository, std::string digest,
                                          std::vector<std::string> keys) {
  std::string path = "manifests/" + signature_tag(digest);
  std::vector<std::string> types{media::kOciManifest, media::kDockerManifest};
  CO_TRY(const auto answer, co_await client.get(session, std::move(path), std::move(types)));
  if (answer.status == 404) co_return digest + " is not signed";
  if (answer.status != 200) co_return std::unexpected(registry_error(answer));
  const auto list = parse_signatures(answer.body);
  if (!list) co_return std::unexpected(list.error());
  std::string why = digest + " has no signature that is read here";
  for (const auto& one : *list) {
    const auto statement = co_await get_statement(client, session, one.statement);
    if (!statement) co_return std::unexpected(statement.error());
    const auto signs = [&](const std::string& key) {
      return is_signed(key, *statement, one.signature);
    };
    if (std::ranges::none_of(keys, signs)) {
      why = digest + " is signed by another key";
      continue;
    }
    const auto fits = check_statement(*statement, repository, digest);
    if (fits) co_return std::optional<std::string>();
    why = fits.error().message;
  }
  co_return why;
}

}  // namespace

std::string signature_tag(const std::string& digest) { return "sha256-" + hex_of(digest) + ".sig"; }

Result<std::vector<SignedStatement>> parse_signatures(std::string_view manifest) {
  const auto list = json::from_text<SignatureList>(manifest);
  if (!list) return std::unexpected(list.error().within("read the signatures"));
  if (list->layers.size() > kMostStatements)
    return fail(Errc::invalid_argument, "more than {} signatures", kMostStatements);
  std::vector<SignedStatement> out;
  for (const auto& layer : list->layers) {
    if (layer.media_type != kStatementType || !layer.annotations) continue;
    const auto text = layer.annotations->find(kSignatureKey);
    if (text == layer.annotations->end()) continue;
    auto signature = base64_decode(text->second);
    if (!signature || !is_digest(layer.digest) || layer.size < 0 || layer.size > kLongestStatement)
      continue;
    out.push_back({layer, *std::move(signature)});
  }
  return out;
}

Result<> check_statement(std::string_view statement, const std::string& repository,
                         const std::string& digest) {
  const auto parsed = json::from_text<Statement>(statement);
  if (!parsed) return std::unexpected(parsed.error().within("read a signature's statement"));
  const auto& [identity, image, type] = parsed->critical;
  if (type != kSaysImage)
    return fail(Errc::forbidden, "its signature is of the type \"{}\"", type.substr(0, 100));
  if (image.digest != digest)
    return fail(Errc::forbidden, "its signature is that of {}", image.digest.substr(0, 100));
  // Who signed another image with the same key did not mean this name.
  const auto meant = parse_reference(identity.reference, false);
  if (!meant || canonical_name(*meant) != repository)
    return fail(Errc::forbidden, "it was signed as {}", identity.reference.substr(0, 300));
  return {};
}

Task<> check_signed(RegistryClient& client, RegistryClient::Session session, Reference ref,
                    std::vector<std::string> digests, std::string scope,
                    std::vector<std::string> keys) {
  std::string why;
  for (const auto& digest : digests) {
    std::string repository = canonical_name(ref);
    auto looked = co_await look_for(client, session, std::move(repository), digest, keys);
    if (!looked) {
      co_return std::unexpected(
          looked.error().within("{}: look for its signature", ref.familiar()));
    }
    if (!*looked) co_return Result<>{};
    if (why.empty()) why = *std::move(*looked);
  }
  co_return fail(Errc::forbidden,
                 "{} is refused by the policy in daemon.json: policy.signatures wants a key of {} "
                 "to have signed it, and {}",
                 ref.familiar(), scope, why);
}

}  // namespace coracle::storage
