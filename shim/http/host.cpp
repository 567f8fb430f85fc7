#include "shim/http/host.hpp"

#include <algorithm>

namespace coracle::http {

Result<> check_host(const Request& request, bool required) {
  const auto hosts = std::ranges::count(request.headers, "host", &Pairs::value_type::first);
  if (required && hosts == 0) return fail(Errc::invalid_argument, "missing required Host header");
  if (hosts > 1) return fail(Errc::invalid_argument, "too many Host headers");
  return {};
}

}  // namespace coracle::http
