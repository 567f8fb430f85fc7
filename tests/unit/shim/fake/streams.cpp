#include "tests/unit/shim/fake/streams.hpp"

#include <utility>

#include "engine/base/file.hpp"

namespace coracle::test {
namespace {

class FakeLogs final : public LogStream {
 public:
  FakeLogs(Happenings& happenings, std::vector<LogEntry> entries, bool follow)
      : open_(happenings), entries_(std::move(entries)), follow_(follow) {}
  Task<std::vector<LogEntry>> next() override {
    if (std::exchange(first_, false)) co_return std::move(entries_);
    if (follow_) CO_CHECK(co_await open_.next_happening());
    co_return std::vector<LogEntry>();
  }

 private:
  OpenStream open_;
  std::vector<LogEntry> entries_;
  bool follow_, first_ = true;
};

}  // namespace

Task<> echo(Workers& workers, UniqueFd client, std::string leftover) {
  auto job = [fd = std::make_shared<UniqueFd>(std::move(client)), leftover]() -> Result<> {
    CHECK(set_nonblocking(*fd, false));
    TRY(const auto rest, read_all(*fd, std::size_t{64} << 20));
    return write_all(*fd, "echo:" + leftover + rest);
  };
  co_return co_await workers.run(std::move(job));
}

Result<FakeStreams::AttachCheck> FakeStreams::check_attach(const std::string& name,
                                                           const AttachOptions&) {
  TRY(const auto view, containers_.inspect(name));
  return AttachCheck{view.id, view.config.tty};
}

Task<> FakeStreams::attach(AttachCheck, AttachOptions, UniqueFd client, std::string leftover) {
  return echo(workers_, std::move(client), std::move(leftover));
}

Task<std::unique_ptr<LogStream>> FakeStreams::logs(std::string name, LogOptions options) {
  CO_CHECK(containers_.inspect(name));
  last_logs = options;
  std::unique_ptr<LogStream> out =
      std::make_unique<FakeLogs>(happenings_, log_entries, options.follow);
  out->tty = log_tty;
  co_return out;
}

Task<> FakeStreams::resize(std::string name, std::uint16_t height, std::uint16_t width) {
  last = fmt::format("resize {} {} {}", name, height, width);
  co_return Result<>{};
}

}  // namespace coracle::test
