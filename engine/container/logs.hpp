// Docker's `logs` on top of the log reader.
#pragma once

#include <memory>

#include "engine/container/container.hpp"
#include "engine/parts.hpp"
#include "engine/streams.hpp"

namespace coracle {

//   errors  invalid_argument; unsupported: the log driver cannot be read
Task<std::unique_ptr<LogStream>> open_logs(Parts& parts, ContainerPtr c, LogOptions options);

// Its log is complete: those who follow read to the end.
void finish_followers(Container& c);

}  // namespace coracle
