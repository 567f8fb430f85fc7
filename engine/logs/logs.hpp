// Docker's `logs` on top of the log reader.
#pragma once

#include <memory>

#include "engine/container/container.hpp"
#include "engine/context.hpp"
#include "engine/face/streams.hpp"
#include "engine/logs/reader.hpp"

namespace coracle {

class Logs {
 public:
  explicit Logs(Context& context) : context_(context), watch_(context.io, context.scope) {}
  //   errors  invalid_argument; unsupported: the log driver cannot be read
  Task<std::unique_ptr<LogStream>> open(ContainerPtr c, LogOptions options);

 private:
  Context& context_;
  LogWatch watch_;
};

// Its log is complete: those who follow read to the end.
void finish_followers(Container& c);

}  // namespace coracle
