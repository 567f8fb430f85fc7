// Streams of the containers that a test has put in: an attach that echoes, a log.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/face/container_streams.hpp"
#include "tests/unit/shim/fake/containers.hpp"
#include "tests/unit/shim/fake/happenings.hpp"

namespace coracle::test {

// Sends back, behind "echo:", what came behind the request and what comes until the client's
// half-close.
Task<> echo(Workers& workers, UniqueFd client, std::string leftover);

class FakeStreams final : public face::Streams {
 public:
  FakeStreams(Workers& workers, const FakeContainers& containers, Happenings& happenings)
      : workers_(workers), containers_(containers), happenings_(happenings) {}

  std::vector<LogEntry> log_entries;
  bool log_tty = false;
  LogOptions last_logs;
  std::string last;  // "resize web 24 80"

  Result<AttachCheck> check_attach(const std::string& name, const AttachOptions& options) override;
  Task<> attach(AttachCheck checked, AttachOptions options, UniqueFd client,
                std::string leftover) override;
  Task<std::unique_ptr<LogStream>> logs(std::string name, LogOptions options) override;
  Task<> resize(std::string name, std::uint16_t height, std::uint16_t width) override;

 private:
  Workers& workers_;
  const FakeContainers& containers_;
  Happenings& happenings_;
};

}  // namespace coracle::test
