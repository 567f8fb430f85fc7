#include "engine/exec/streams.hpp"

#include <sys/socket.h>

#include "engine/exec/client_stream.hpp"
#include "engine/exec/detach_keys.hpp"

namespace coracle {

Result<Streams::AttachCheck> Streams::check_attach(const std::string& name,
                                                   const AttachOptions& options) {
  CHECK(parse_detach_keys(options.detach_keys));
  TRY(const auto c, context_.table.find(name));
  CHECK(c->permits(Operation::attach));
  return AttachCheck{c->id(), c->record.config.tty};
}

Task<std::unique_ptr<LogStream>> Streams::logs(std::string name, LogOptions options) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await logs_.open(std::move(c), options);
}

// The log up to now, as frames (or raw, with a terminal).
Task<> Streams::replay(ContainerPtr c, AttachOptions options, const UniqueFd& client) {
  LogOptions all;
  all.out = options.out;
  all.err = options.err;
  CO_TRY(auto stream, co_await logs_.open(c, all));
  for (;;) {
    CO_TRY(const auto entries, co_await stream->next());
    if (entries.empty()) co_return Result<>{};
    std::string bytes;
    for (const auto& e : entries)
      bytes += stream->tty || options.raw ? e.text : stream_frame(e.is_err ? 2 : 1, e.text);
    CO_CHECK(co_await write_to_client(context_.io, client, std::move(bytes)));
  }
}

Task<> Streams::attach(AttachCheck checked, AttachOptions options, UniqueFd client,
                       std::string leftover) {
  CO_TRY(const auto c, context_.table.find(checked.id));
  WaitingAttach waiting;
  waiting.attach.in = options.in && c->record.config.open_stdin;
  waiting.attach.out = options.out;
  waiting.attach.err = options.err;
  waiting.attach.raw = options.raw;
  CO_TRY(waiting.attach.detach_keys, parse_detach_keys(options.detach_keys));
  waiting.attach.leftover_base64 = base64_encode(leftover);
  if (options.logs) {
    co_await await_head_read(context_.io, client);
    CO_CHECK(co_await replay(c, options, client));
  }
  if (!options.stream) {
    ::shutdown(client.get(), SHUT_WR);
    co_return Result<>{};
  }
  // Under the lock: a start that is on its way takes it along, or is over.
  const auto lock = co_await c->mutex.lock();
  CO_CHECK(c->permits(Operation::attach));
  waiting.client = std::move(client);
  announce(*context_.events, *c, "attach");
  auto* running = c->running();
  if (running == nullptr) {
    c->attaching.push_back(std::move(waiting));
    co_return Result<>{};
  }
  monitor::Request::What request = monitor::op::Attach{std::move(waiting.attach)};
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(waiting.client));
  auto link = running->monitor;
  CO_CHECK(co_await link->request(std::move(request), std::move(fds)));
  co_return Result<>{};
}

Task<> Streams::resize(std::string name, std::uint16_t height, std::uint16_t width) {
  CO_TRY(const auto c, context_.table.find(name));
  CO_CHECK(c->permits(Operation::resize));
  auto* running = c->running();
  if (running == nullptr) co_return fail(Errc::conflict, "container {} is not running", c->id());
  monitor::op::Resize request;
  request.size.height = height;
  request.size.width = width;
  auto link = running->monitor;
  CO_CHECK(co_await link->request(std::move(request)));
  announce(*context_.events, *c, "resize",
           {{"height", std::to_string(height)}, {"width", std::to_string(width)}});
  co_return Result<>{};
}

}  // namespace coracle
