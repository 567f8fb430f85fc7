// The Host header of a request. With none, or two, whoever forwards the request and we could take
// it for different ones. See RFC 9112, 3.2.
#pragma once

#include "engine/base/result.hpp"
#include "shim/http/message.hpp"

namespace coracle::http {

// One Host header; none is fine when it is not `required`, as by HTTP/1.0.
//   errors  invalid_argument, in Go's words
Result<> check_host(const Request& request, bool required);

}  // namespace coracle::http
