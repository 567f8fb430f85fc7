#include "engine/logs/logs.hpp"

#include "engine/logs/journal.hpp"
#include "engine/request/log_options.hpp"

namespace coracle {
namespace {

class ReaderStream : public LogStream {
 public:
  ReaderStream(std::shared_ptr<LogReader> reader, bool has_tty) : reader_(std::move(reader)) {
    tty = has_tty;
  }
  Task<std::vector<LogEntry>> next() override { return read(reader_); }

 private:
  // The reader lives on while it is waited for.
  static Task<std::vector<LogEntry>> read(std::shared_ptr<LogReader> reader) {
    co_return co_await reader->next();
  }
  std::shared_ptr<LogReader> reader_;
};

}  // namespace

Task<std::unique_ptr<LogStream>> Logs::open(ContainerPtr c, LogOptions options) {
  if (!options.out && !options.err)
    co_return fail(Errc::invalid_argument,
                   "you must choose at least one stream: must specify at least one of 'stdout' or "
                   "'stderr'");
  if (c->record.host.log_config.type == "none")
    co_return fail(Errc::unsupported, "configured logging driver does not support reading");
  const auto status = c->state.status;
  const bool goes_on =
      is_alive(status) || status == Status::restarting || status == Status::created;
  const auto& log = c->record.host.log_config;
  std::shared_ptr<LogReader> reader;
  if (log.type == "journald") {
    auto check = [] { return check_journal(); };
    CO_CHECK(co_await context_.workers.run(std::move(check)));
    auto journal = std::make_shared<LogJournal>(c->id(), options);
    reader =
        std::make_shared<LogReader>(context_.io, context_.workers, std::move(journal), options);
  } else {
    auto path = log_file_of(log, context_.store.dir(c->id()), c->id());
    reader = std::make_shared<LogReader>(context_.io, context_.workers, watch_, std::move(path),
                                         options);
  }
  if (!goes_on || c->removing) {
    reader->finish();
  } else if (options.follow) {
    std::erase_if(c->followers, [](const auto& weak) { return weak.expired(); });
    c->followers.push_back(reader);
  }
  std::unique_ptr<LogStream> stream =
      std::make_unique<ReaderStream>(std::move(reader), c->record.config.tty);
  co_return stream;
}

void finish_followers(Container& c) {
  for (const auto& weak : std::exchange(c.followers, {})) {
    if (auto reader = weak.lock()) reader->finish();
  }
}

}  // namespace coracle
