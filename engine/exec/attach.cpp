#include "engine/exec/attach.hpp"

#include <sys/socket.h>

#include "engine/exec/client_stream.hpp"
#include "engine/exec/detach_keys.hpp"

namespace coracle {
namespace {

// The log up to now, as frames (or raw, with a terminal).
Task<> replay(asio::io_context& io, Logs& logs, ContainerPtr c, AttachOptions options,
              const UniqueFd& client) {
  LogOptions all;
  all.out = options.out;
  all.err = options.err;
  CO_TRY(auto stream, co_await logs.open(c, all));
  for (;;) {
    CO_TRY(const auto entries, co_await stream->next());
    if (entries.empty()) co_return Result<>{};
    std::string bytes;
    for (const auto& e : entries)
      bytes += stream->tty || options.raw ? e.text : stream_frame(e.is_err ? 2 : 1, e.text);
    CO_CHECK(co_await write_to_client(io, client, std::move(bytes)));
  }
}

}  // namespace

Task<> attach_client(asio::io_context& io, EventLog& events, Logs& logs, ContainerPtr c,
                     AttachOptions options, UniqueFd client, std::string leftover) {
  WaitingAttach waiting;
  waiting.attach.in = options.in && c->record.config.open_stdin;
  waiting.attach.out = options.out;
  waiting.attach.err = options.err;
  waiting.attach.raw = options.raw;
  CO_TRY(waiting.attach.detach_keys, parse_detach_keys(options.detach_keys));
  waiting.attach.leftover_base64 = base64_encode(leftover);
  if (options.logs) {
    co_await await_head_read(io, client);
    CO_CHECK(co_await replay(io, logs, c, options, client));
  }
  if (!options.stream) {
    ::shutdown(client.get(), SHUT_WR);
    co_return Result<>{};
  }
  // Under the turn: a start that is on its way takes it along, or is over.
  const auto turn = co_await c->turns.take();
  CO_CHECK(c->permits(Operation::attach));
  waiting.client = std::move(client);
  announce(events, *c, "attach");
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

Task<> resize_terminal(EventLog& events, ContainerPtr c, std::uint16_t height,
                       std::uint16_t width) {
  CO_CHECK(c->permits(Operation::resize));
  auto* running = c->running();
  if (running == nullptr) co_return fail(Errc::conflict, "container {} is not running", c->id());
  monitor::op::Resize request;
  request.size.height = height;
  request.size.width = width;
  auto link = running->monitor;
  CO_CHECK(co_await link->request(std::move(request)));
  announce(events, *c, "resize",
           {{"height", std::to_string(height)}, {"width", std::to_string(width)}});
  co_return Result<>{};
}

}  // namespace coracle
