// Certificates of registries, where Docker keeps them: folders certs.d with one for each registry,
// "HOST" or "HOST:PORT", and in it
//   *.crt          authorities that are trusted besides the system's
//   *.cert, *.key  who we are to it
// See "Verify repository client with certificates" in Docker's documentation.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle::storage {

// PEM texts; "" for none.
struct Certificates {
  std::string authorities, certificate, key;
};
using CertificatesPtr = std::shared_ptr<const Certificates>;

// Blocking, and new at each call: a folder may come and change. Null when none of the folders has
// something for it.
//   registry  "127.0.0.1:5000"
//   errors    invalid_argument, Docker's text: a key is missing, or its certificate; those of files
Result<CertificatesPtr> read_certificates(const std::vector<std::string>& folders,
                                          const std::string& registry);

}  // namespace coracle::storage
