#include "engine/container/monitor_link.hpp"

#include <sys/socket.h>
#include <sys/wait.h>

#include <cerrno>
#include <utility>

#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/process/process.hpp"
#include "engine/container/monitor_environment.hpp"

namespace coracle {
namespace {

constexpr int kControlFd = 3;

// The monitor is our child until we end; its exit follows the end of its connection.
Coro<void> reap(asio::io_context& io, pid_t child) {
  auto process = Pidfd::open(child);
  if (!process) co_return;
  (void)co_await wait_readable(io, process->fd());
  int status = 0;
  if (process->ended()) ::waitpid(child, &status, WNOHANG);
}

}  // namespace

Result<std::shared_ptr<MonitorLink>> MonitorLink::spawn(asio::io_context& io, Scope& scope,
                                                        const std::string& program) {
  TRY(auto pair, make_socket_pair(SOCK_SEQPACKET));
  CHECK(set_nonblocking(pair.a, true));
  SpawnOptions options;
  options.program = program;
  options.argv = {"coracle-monitor", "--control-fd", std::to_string(kControlFd)};
  options.env = monitor_environment();
  options.inherit_env = false;
  options.new_session = true;
  options.fds = {{.ours = pair.b.get(), .theirs = kControlFd}};
  auto process = coracle::spawn(options);
  if (!process) return std::unexpected(process.error().within("start {}", program));
  auto link = std::make_shared<MonitorLink>(io, std::move(pair.a), process->pid());
  scope.start("monitor link", read(link));
  return link;
}

std::shared_ptr<MonitorLink> MonitorLink::adopt(asio::io_context& io, Scope& scope,
                                                UniqueFd socket) {
  auto link = std::make_shared<MonitorLink>(io, std::move(socket), 0);
  scope.start("monitor link", read(link));
  return link;
}

Result<std::shared_ptr<MonitorLink>> MonitorLink::connect(asio::io_context& io, Scope& scope,
                                                          const std::string& socket_path) {
  TRY(auto socket, connect_unix(socket_path, SOCK_SEQPACKET));
  CHECK(set_nonblocking(socket, true));
  return adopt(io, scope, std::move(socket));
}

MonitorLink::MonitorLink(asio::io_context& io, UniqueFd socket, pid_t child)
    : io_(io), socket_(std::move(socket)), ready_(io, socket_.get()), child_(child) {}

MonitorLink::~MonitorLink() {
  if (ready_.is_open()) ready_.release();
}

void MonitorLink::set_handlers(Handlers handlers) {
  handlers_ = std::move(handlers);
  for (const auto& answer : std::exchange(early_, {})) handlers_.event(answer);
  if (lost_ && !closed_) handlers_.lost();
}

void MonitorLink::born(const monitor::Answer& answer) {
  child_ = answer.pid;
  if (answer.error) log::error("monitor not started reason={}", answer.error->message);
}

void MonitorLink::heard(monitor::Answer answer) {
  if (answer.re != 0) {
    const auto found = waiting_.find(answer.re);
    if (found == waiting_.end()) return;
    found->second->set(std::move(answer));
    return;
  }
  if (handlers_.event) {
    handlers_.event(answer);
  } else if (!forgotten_) {
    early_.push_back(std::move(answer));
  } else if (answer.event == "exit") {
    acknowledge(answer.n);  // there is nothing to save; it need not wait
  }
}

void MonitorLink::answer_all_with_nothing() {
  for (auto& [seq, reply] : waiting_) reply->set(std::nullopt);
}

void MonitorLink::ended() {
  lost_ = true;
  answer_all_with_nothing();
  if (ready_.is_open()) ready_.release();
  if (!closed_ && handlers_.lost) handlers_.lost();
  handlers_ = {};  // they hold what holds us
}

Coro<void> MonitorLink::read(std::shared_ptr<MonitorLink> self) {
  for (;;) {
    auto message = receive_message(self->socket_);
    if (!message && message.error().sys == EAGAIN) {
      const auto [ec] =
          co_await self->ready_.async_wait(asio::posix::stream_descriptor::wait_read, kToken);
      if (ec) break;
      continue;
    }
    if (!message) break;
    auto answer = json::from_text<monitor::Answer>(message->text);
    if (!answer) {
      log::warn("monitor sent what is not a message reason={}", answer.error().message);
      continue;
    }
    if (answer->event == "born") {
      self->born(*answer);
      continue;
    }
    self->heard(*std::move(answer));
    if (self->closed_) break;
  }
  self->ended();
  if (self->child_ == 0 || self->closed_) co_return;
  auto& io = self->io_;
  const pid_t child = self->child_;
  self->socket_.reset();
  self.reset();
  co_await reap(io, child);
}

Task<> MonitorLink::send(Message message) {
  auto self = shared_from_this();
  for (;;) {
    if (lost_ || closed_) co_return fail(Errc::unavailable, "the container's monitor has gone");
    auto sent = send_message(socket_, message);
    if (sent) co_return Result<>{};
    if (sent.error().sys != EAGAIN)
      co_return std::unexpected(
          sent.error().within("send to the container's monitor").as(Errc::unavailable));
    const auto [ec] =
        co_await ready_.async_wait(asio::posix::stream_descriptor::wait_write, kToken);
    if (ec) co_return fail(Errc::unavailable, "send to the container's monitor: {}", ec.message());
  }
}

Task<monitor::Answer> MonitorLink::request(monitor::Request::What what, std::vector<UniqueFd> fds) {
  auto self = shared_from_this();
  monitor::Request request;
  request.seq = ++seq_;
  request.what = std::move(what);
  const auto seq = request.seq;
  auto reply = std::make_shared<Reply>(io_);
  waiting_.emplace(seq, reply);
  Message message;
  message.text = json::to_text(request);
  message.fds = std::move(fds);
  auto sent = co_await send(std::move(message));
  if (!sent) {
    waiting_.erase(seq);
    co_return std::unexpected(sent.error());
  }
  const bool heard = co_await reply->wait();
  waiting_.erase(seq);
  if (!heard || !reply->value())
    co_return fail(Errc::unavailable, "{}: the container's monitor has gone",
                   message::name_of_op(request.what));
  auto& answer = *reply->value();
  if (answer.error) co_return std::unexpected(message::from_wire(*answer.error));
  co_return std::move(answer);
}

void MonitorLink::tell(monitor::Request::What what) {
  if (lost_ || closed_) return;
  monitor::Request request;
  request.seq = ++seq_;
  request.what = std::move(what);
  Message message;
  message.text = json::to_text(request);
  if (auto sent = send_message(socket_, message); !sent)
    log::debug("monitor not told op={} reason={}", message::name_of_op(request.what),
               sent.error().message);
}

void MonitorLink::acknowledge(std::uint64_t n) {
  tell(monitor::op::Ack{n});  // one that is lost only makes the monitor wait its kAckWait_ms
}

void MonitorLink::abandon() {
  tell(monitor::op::StopMonitor{});
  forget();
}

void MonitorLink::forget() {
  forgotten_ = true;
  early_.clear();
  handlers_ = {};
}

void MonitorLink::close() {
  closed_ = true;
  answer_all_with_nothing();
  if (ready_.is_open()) {
    boost::system::error_code ignored;
    ready_.cancel(ignored);
  }
  handlers_ = {};
}

}  // namespace coracle
