#include "storage/registry/certificates.hpp"

#include <algorithm>
#include <cstdlib>

#include "engine/base/file.hpp"
#include "engine/base/path.hpp"

namespace coracle::storage {
namespace {

constexpr std::size_t kMostPem = std::size_t{1} << 20;  // of all files for a registry

std::string stem_of(const std::string& name) { return name.substr(0, name.rfind('.')); }

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

Result<> add_file(const std::string& path, std::string& to) {
  TRY(const auto text, read_file(path));
  if (to.size() + text.size() > kMostPem)
    return fail(Errc::invalid_argument, "{}: more than {} bytes of certificates", path, kMostPem);
  to += text;
  if (!to.ends_with('\n')) to += '\n';
  return {};
}

Result<> read_folder(const std::string& folder, Certificates& into) {
  auto names = list_dir(folder);
  if (!names)
    return names.error().code == Errc::not_found ? Result<>{} : std::unexpected(names.error());
  std::ranges::sort(*names);
  for (const auto& name : *names) {
    const auto path = join_path(folder, name);
    if (name.ends_with(".crt")) {
      CHECK(add_file(path, into.authorities));
    } else if (name.ends_with(".cert")) {
      const auto key = stem_of(name) + ".key";
      if (!holds(*names, key))
        return fail(Errc::invalid_argument,
                    "missing key {} for client certificate {}. CA certificates must use the "
                    "extension .crt",
                    key, name);
      if (!into.certificate.empty()) continue;
      CHECK(add_file(path, into.certificate));
      CHECK(add_file(join_path(folder, key), into.key));
    } else if (name.ends_with(".key") && !holds(*names, stem_of(name) + ".cert")) {
      return fail(Errc::invalid_argument, "missing client certificate {} for key {}",
                  stem_of(name) + ".cert", name);
    }
  }
  return {};
}

}  // namespace

Result<CertificatesPtr> read_certificates(const std::vector<std::string>& folders,
                                          const std::string& registry) {
  if (registry.empty() || registry.starts_with('.') || registry.find('/') != std::string::npos)
    return CertificatesPtr();
  Certificates found;
  for (const auto& folder : folders) {
    const auto read = read_folder(join_path(folder, registry), found);
    if (!read) return std::unexpected(read.error().within("certificates of {}", registry));
  }
  if (found.authorities.empty() && found.certificate.empty()) return CertificatesPtr();
  // The bundle that the environment names is not left out by ours.
  const char* bundle = std::getenv("SSL_CERT_FILE");
  if (bundle != nullptr && !found.authorities.empty()) CHECK(add_file(bundle, found.authorities));
  return std::make_shared<const Certificates>(std::move(found));
}

}  // namespace coracle::storage
