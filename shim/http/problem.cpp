#include "shim/http/problem.hpp"

#include "engine/base/json.hpp"

namespace coracle::http {

int status_of(Errc code) {
  switch (code) {
    case Errc::invalid_argument: return 400;
    case Errc::unauthorized: return 401;
    case Errc::forbidden: return 403;
    case Errc::not_found: return 404;
    case Errc::conflict: return 409;
    case Errc::unchanged: return 304;
    case Errc::unsupported: return 501;
    case Errc::unavailable: return 503;
    case Errc::internal: return 500;
  }
  return 500;
}

Reply problem(int status, const std::string& message) {
  boost::json::object o;
  o["message"] = message;
  return json_reply(json::serialize(o), status);
}

Reply problem(const Error& error) {
  if (error.code == Errc::unchanged) return empty_reply(304);
  return problem(status_of(error.code), error.message);
}

}  // namespace coracle::http
