// A container's streams. attach: a client's connection goes to the container's monitor; before the
// start it waits here and goes with the monitor's `create`. logs, and the size of the terminal.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/container/container.hpp"
#include "engine/context.hpp"
#include "engine/face/container_streams.hpp"
#include "engine/logs/logs.hpp"

namespace coracle {

class Streams final : public face::Streams {
 public:
  Streams(Context& context, Logs& logs) : context_(context), logs_(logs) {}

  Result<AttachCheck> check_attach(const std::string& name, const AttachOptions& options) override;
  Task<> attach(AttachCheck checked, AttachOptions options, UniqueFd client,
                std::string leftover) override;
  Task<std::unique_ptr<LogStream>> logs(std::string name, LogOptions options) override;
  Task<> resize(std::string name, std::uint16_t height, std::uint16_t width) override;

 private:
  Task<> replay(ContainerPtr c, AttachOptions options, const UniqueFd& client);

  Context& context_;
  Logs& logs_;
};

}  // namespace coracle
