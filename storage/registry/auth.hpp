// Who we are to a registry. A registry answers 401 with WWW-Authenticate; what that asks for is:
//   Basic    user name and password with every request
//   Bearer   a token for a scope ("repository:library/alpine:pull") from the realm it names:
//              GET realm?service=…&scope=…&account=USER, with Basic when there is a password
//              POST realm, grant_type=refresh_token, when the client has an identity token
//            See docs.docker.com, "Token authentication specification".
// Credentials go to the registry itself, and to the realm that it named itself: a challenge of
// whatever a redirect led to is nobody's, and the realm of a registry whose certificate is verified
// has a verified certificate too.
// Tokens are kept in memory until shortly before they expire. Credentials are neither logged nor
// written anywhere.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/content/config.hpp"
#include "storage/registry/credentials.hpp"
#include "storage/registry/transfer.hpp"

namespace coracle::storage {

struct Challenge {
  std::string scheme;                         // lower case: bearer, basic
  std::map<std::string, std::string> params;  // names in lower case: realm, service, scope, error
};
// All challenges of a WWW-Authenticate header; what cannot be read is left out. See RFC 9110
// §11.6.1.
std::vector<Challenge> parse_challenges(std::string_view header);
// Those of an answer; none when another origin gave it.
std::vector<Challenge> challenges_of(const HttpResponse& response);

// On the loop's thread.
class RegistryAuthenticator {
 public:
  explicit RegistryAuthenticator(Transfer& transfer) : transfer_(transfer) {}

  // The Authorization header for `scope` ("" when only the login is checked); "" when the
  // challenges ask for nothing that we can give (no credentials for Basic).
  //   verify_tls  of the registry that made the challenges
  //   errors  unauthorized, in the registry's words; unavailable: the realm does not answer;
  //   forbidden: the realm is no https URL where the registry is verified
  Task<std::string> authorization(std::vector<Challenge> challenges, RegistryAuth auth,
                                  std::string scope, bool verify_tls,
                                  CertificatesPtr certificates = nullptr);
  // The same for a login, with what may be kept instead of the password where the registry gives
  // that: an identity token, else "".
  struct Login {
    std::string authorization, identity_token;
  };
  Task<Login> log_in(std::vector<Challenge> challenges, RegistryAuth auth, bool verify_tls,
                     CertificatesPtr certificates);
  // A token that was refused is not used again.
  void forget(const std::string& authorization);

 private:
  struct Token {
    std::string value, refresh;
    std::chrono::steady_clock::time_point until;
  };
  Task<Token> fetch_token(Challenge challenge, RegistryAuth auth, std::string scope,
                          bool verify_tls, CertificatesPtr certificates, bool offline = false);

  Transfer& transfer_;
  std::map<std::string, Token> tokens_;  // by realm, service, scope and who
};

}  // namespace coracle::storage
