// A container's input and output: attach, logs, the size of its terminal.
//
// Attach has two steps, because the answer "101" stands between them: check, then hand the
// connection over. From then on it belongs to the container's monitor (before start: to the engine,
// until there is one).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/face/container_options.hpp"
#include "engine/face/log.hpp"
#include "engine/face/streams.hpp"

namespace coracle::face {

class Streams {
 public:
  virtual ~Streams() = default;

  struct AttachCheck {
    std::string id;  // full
    bool tty = false;
  };
  //   errors  invalid_argument: the detach keys, whoever is named
  virtual Result<AttachCheck> check_attach(const std::string& name,
                                           const AttachOptions& options) = 0;
  //   leftover  what came behind the request's head
  virtual Task<> attach(AttachCheck checked, AttachOptions options, UniqueFd client,
                        std::string leftover) = 0;
  //   errors  invalid_argument; unsupported: the log driver cannot be read
  virtual Task<std::unique_ptr<LogStream>> logs(std::string name, LogOptions options) = 0;
  //   errors  conflict: it does not run
  virtual Task<> resize(std::string name, std::uint16_t height, std::uint16_t width) = 0;
};

}  // namespace coracle::face
