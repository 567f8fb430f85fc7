// One registry as pulls and pushes see it: which addresses to try for a name's domain, in which order, what
// /v2/ answers there, and requests below it with the right authorization. What a registry answers
// becomes an Error in Docker's words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/content/config.hpp"
#include "storage/images/reference.hpp"
#include "storage/registry/auth.hpp"
#include "storage/registry/credentials.hpp"
#include "storage/registry/transfer.hpp"

namespace coracle::storage {

struct RegistryConfig {
  std::vector<std::string> mirrors;              // of docker.io: "http://127.0.0.1:5000"
  std::vector<std::string> insecure;             // host[:port] or CIDR
  std::vector<std::string> certificate_folders;  // certs.d
  TrustPolicy policy;
  int retry_ms = 1000;  // the first wait after a cut; doubled each time
};

// One address to try.
struct Endpoint {
  std::string base;  // "https://registry-1.docker.io", without a slash at its end
  bool verify_tls = true;
  bool mirror = false;  // gets no credentials
  CertificatesPtr certificates = nullptr;
  bool operator==(const Endpoint&) const = default;
};
// In the order of trying: for docker.io its mirrors, then itself; for an insecure registry
// (loopback is one) https without verification, then http.
std::vector<Endpoint> endpoints_for(const std::string& domain, const RegistryConfig& config);

// The text of the errors in an answer's body ("message" of {"errors":[…]}, or "details"); "".
std::string registry_message(const HttpResponse& response);
// The first error's code ("MANIFEST_UNKNOWN"); "".
std::string registry_code(const HttpResponse& response);
// The target of `Link: </v2/_catalog?…>; rel="next"`, where a list goes on; "" when it has ended.
std::string next_page(const HttpResponse& answer);
// "denied: requested access to the resource is denied": what a registry says of a request that it
// refuses, by its code.
Error registry_error(const HttpResponse& response);
// What a refused request of a manifest or blob means for the user.
Error pull_error(const HttpResponse& response, const Reference& ref, bool with_credentials);

class RegistryClient {
 public:
  RegistryClient(Transfer& transfer, Workers& workers, RegistryConfig config)
      : transfer_(transfer), workers_(workers), auth_(transfer), config_(std::move(config)) {}

  // An endpoint that answers /v2/, and what it asks for.
  struct Session {
    Endpoint endpoint;
    std::vector<Challenge> challenges;
    RegistryAuth auth;
    std::string repository;  // "library/alpine"
    std::string scope;       // what tokens are asked for, several by spaces; "": to pull from it

    [[nodiscard]] std::string url(const std::string& path) const {
      return endpoint.base + "/v2/" + repository + "/" + path;
    }
  };
  // The sessions that can be tried for a repository: those whose /v2/ answers, in order. Asked
  // lazily: `after` is how many endpoints were tried already and is moved on.
  //   errors  internal `Get "https://host/v2/": dial tcp …` of the last one, when none is left;
  //           forbidden: by the policy
  Task<Session> connect(Reference ref, RegistryAuth auth, std::size_t* after);

  // GET (or HEAD) BASE/v2/REPOSITORY/PATH; a token that is refused is fetched anew once.
  Task<HttpResponse> get(Session session, std::string path, std::vector<std::string> accept,
                         std::string method = "GET");
  // Any request whose body is small; one to another origin than the session's goes without its
  // authorization. A token that is refused is fetched anew once.
  Task<HttpResponse> send(Session session, HttpRequest request);
  // An upload, once: its body cannot be sent again.
  Task<HttpResponse> upload(Session session, HttpRequest request, std::shared_ptr<UploadQueue> from,
                            std::int64_t length, std::function<void(std::size_t)> sent);
  // The same for a blob, from `offset` on, into a queue.
  Task<HttpResponse> get_blob(Session session, std::string digest, std::int64_t offset,
                              std::shared_ptr<ByteQueue> into,
                              std::function<void(std::size_t)> received);

  // The same from any URL, as an unknown client: https alone, but where the session's own is http.
  Task<HttpResponse> get_elsewhere(Session session, std::string url, std::int64_t offset,
                                   std::shared_ptr<ByteQueue> into,
                                   std::function<void(std::size_t)> received);

  // Are these credentials good? The identity token to keep instead of them, or "".
  //   errors  unauthorized; forbidden: by the policy
  Task<std::string> login(RegistryAuth auth);

  [[nodiscard]] const TrustPolicy& policy() const { return config_.policy; }

 private:
  // What /v2/ of an endpoint answered.
  struct Known {
    std::vector<Challenge> challenges;
    bool foreign = false;  // another origin asked for credentials there: it gets none
    std::chrono::steady_clock::time_point until;
  };
  Task<CertificatesPtr> certificates_of(std::string base);
  Task<Known> ping(Endpoint endpoint);
  Task<std::string> authorization(const Session& session, const std::string& url);

  Transfer& transfer_;
  Workers& workers_;
  RegistryAuthenticator auth_;
  RegistryConfig config_;
  std::map<std::string, Known> known_;  // by endpoint
};

}  // namespace coracle::storage
