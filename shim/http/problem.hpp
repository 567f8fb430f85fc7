// Errors as the API tells them: Errc -> status, {"message": text}.
#pragma once

#include "engine/base/result.hpp"
#include "shim/http/message.hpp"

namespace coracle::http {

int status_of(Errc code);
Reply problem(int status, const std::string& message);
// A 304 has no body. What ends in 500 is logged as an error: it counts as a defect.
Reply problem(const Error& error);

}  // namespace coracle::http
