#include "engine/monitor/streams/stdio.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <algorithm>
#include <cerrno>

namespace coracle::monitor {

Stdio::~Stdio() {
  for (const auto& client : clients_) client->close();
}

// --- the process's ends ---

Result<> Stdio::open_pipes() {
  const auto add = [&](Stream stream, UniqueFd& theirs) -> Result<> {
    TRY(auto pipe, make_pipe());
    CHECK(set_nonblocking(pipe.read, true));
    auto source = std::make_unique<Source>();
    source->stream = stream;
    source->fd = std::move(pipe.read);
    sources_.push_back(std::move(source));
    theirs = std::move(pipe.write);
    return {};
  };
  CHECK(add(Stream::out, their_out_));
  CHECK(add(Stream::err, their_err_));
  if (!options_.open_stdin) {
    their_in_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!their_in_) return sys_error("open /dev/null");
    return {};
  }
  TRY(auto pipe, make_pipe());
  CHECK(set_nonblocking(pipe.write, true));
  their_in_ = std::move(pipe.read);
  stdin_ = std::move(pipe.write);
  return {};
}

runtime::Stdio Stdio::theirs() const {
  return {their_in_.get(), their_out_.get(), their_err_.get()};
}

void Stdio::close_theirs() {
  their_in_.reset();
  their_out_.reset();
  their_err_.reset();
}

Result<> Stdio::take_console(UniqueFd master) {
  CHECK(set_nonblocking(master, true));
  slave_.reset(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave_) return sys_error("open the other side of the terminal");
  TRY(stdin_, duplicate(master));
  auto source = std::make_unique<Source>();
  source->fd = std::move(master);
  sources_.push_back(std::move(source));
  if (size_.height != 0 || size_.width != 0) CHECK(resize(size_));
  return {};
}

Result<> Stdio::start() {
  for (const auto& source : sources_) {
    Source* s = source.get();
    TRY(s->watch, loop_.watch(s->fd, EPOLLIN, [this, s](std::uint32_t) { read_source(*s); }));
  }
  if (stdin_) {
    TRY(stdin_watch_, loop_.watch(stdin_, 0, [this](std::uint32_t e) { stdin_ready(e); }));
    stdin_watch_.pause();  // only looked at while something waits for it
  }
  started_ = true;
  if (stdin_)
    flush_stdin();
  else
    stdin_failed();  // what the clients have sent already has nowhere to go
  update_sources();
  return {};
}

Result<> Stdio::resize(ConsoleSize size) {
  if (!options_.terminal) return {};  // clients resize what they attach to, whatever it is
  size_ = size;
  if (sources_.empty()) return {};
  winsize w{};
  w.ws_row = size.height;
  w.ws_col = size.width;
  const UniqueFd& master = sources_.front()->fd;
  if (master && ::ioctl(master.get(), TIOCSWINSZ, &w) != 0) return sys_error("resize the terminal");
  return {};
}

// --- output ---

bool Stdio::any_blocked() const {
  return std::any_of(clients_.begin(), clients_.end(), [](const auto& c) { return c->blocked(); });
}

void Stdio::update_sources() {
  if (draining_) return;
  const bool blocked = any_blocked();
  for (const auto& source : sources_) {
    // Paused, not only unasked: epoll would go on reporting a hang-up.
    if (blocked)
      source->watch.pause();
    else
      source->watch.change(EPOLLIN);
  }
}

bool Stdio::read_source(Source& source) {
  if (!source.fd) return false;
  const auto buffer = options_.scratch;
  const auto n = read_some(source.fd, buffer);
  if (!n && n.error().sys == EAGAIN) return false;
  if (!n && n.error().sys == EIO && options_.terminal) {
    terminal_hung_up(source);
    return false;
  }
  if (!n || *n == 0) {
    source.watch.reset();
    source.fd.reset();
    return false;
  }
  const std::string_view data(buffer.data(), *n);
  if (options_.log != nullptr) options_.log->write(source.stream, data);
  // A client that fails drops itself from the list.
  const auto clients = clients_;
  for (const auto& client : clients) client->deliver(source.stream, data);
  if (any_blocked()) {
    update_sources();
    be_patient();
  }
  return true;
}

// One that holds back nobody but the process is what a pipe is: it has all the time.
void Stdio::be_patient() {
  if (patience_.pending() || draining_) return;
  const auto now = std::chrono::steady_clock::now();
  constexpr std::chrono::milliseconds kLimit{kStalled_ms};
  auto wait = std::chrono::milliseconds::max();
  bool held_up = false;
  for (const auto& client : clients_) {
    if (client->blocked()) {
      const auto left = client->blocked_since() + kLimit - now;
      wait = std::min(wait, std::chrono::ceil<std::chrono::milliseconds>(left));
    } else if (client->what().out || client->what().err) {
      held_up = true;
    }
  }
  if (!held_up || wait == std::chrono::milliseconds::max()) return;
  patience_ =
      loop_.after(std::max(wait, std::chrono::milliseconds(1)), [this] { lose_patience(); });
}

void Stdio::lose_patience() {
  const auto limit = std::chrono::steady_clock::now() - std::chrono::milliseconds(kStalled_ms);
  const auto clients = clients_;
  for (const auto& client : clients) {
    if (client->blocked() && client->blocked_since() <= limit) client->let_go();
  }
  be_patient();
}

// Every slave is closed although we hold one: vhangup(2) by something inside, or the end.
void Stdio::terminal_hung_up(Source& source) {
  if (!draining_) {
    slave_.reset(::ioctl(source.fd.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (slave_) return;
  }
  source.watch.reset();
  source.fd.reset();
}

void Stdio::drain(std::chrono::milliseconds limit) {
  draining_ = true;
  patience_.reset();
  slave_.reset();
  stdin_watch_.reset();
  stdin_.reset();
  stdin_pending_ = {};
  for (const auto& source : sources_) source->watch.reset();
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    std::vector<pollfd> open;
    bool read = false;
    for (const auto& source : sources_) {
      while (read_source(*source)) read = true;
      if (source->fd) open.push_back({source->fd.get(), POLLIN, 0});
    }
    if (open.empty()) break;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0 && !read) break;
    if (left.count() > 0) ::poll(open.data(), open.size(), static_cast<int>(left.count()));
    if (left.count() <= 0) break;
  }
  sources_.clear();
}

// --- clients ---

Result<> Stdio::attach(UniqueFd socket, Attach what) {
  TRY(const auto leftover, base64_decode(what.leftover_base64));
  what.leftover_base64.clear();
  auto client = std::make_shared<Client>(loop_, *this, std::move(socket), std::move(what),
                                         options_.terminal, options_.scratch);
  CHECK(client->open());
  clients_.push_back(client);
  be_patient();
  if (!stdin_pending_.empty()) client->hold_input(true);
  if (!leftover.empty() && client->what().in) client_sent(*client, leftover);
  return {};
}

void Stdio::shut_down() {
  shut_down_ = true;
  if (!draining_) drain(std::chrono::milliseconds(0));
  const auto clients = clients_;
  for (const auto& client : clients) client->finish();
  if (clients_.empty() && options_.all_gone) loop_.defer(options_.all_gone);
}

void Stdio::drop(Client& client) {
  const auto found = std::find_if(clients_.begin(), clients_.end(),
                                  [&](const auto& c) { return c.get() == &client; });
  if (found == clients_.end()) return;
  // We may be inside one of its functions.
  loop_.defer([keep = *found] {});
  clients_.erase(found);
  update_sources();
  if (options_.client_closed) options_.client_closed();
  if (shut_down_ && clients_.empty() && options_.all_gone) loop_.defer(options_.all_gone);
}

void Stdio::client_sent(Client& client, std::string_view bytes) {
  if (!options_.terminal) return to_process(bytes);
  const auto passed = client.keys().pass(bytes);
  to_process(passed.text);
  if (!passed.detached) return;
  client.finish();  // its write side is shut, the process goes on
  if (options_.detached) options_.detached();
}

void Stdio::client_input_ended(Client& client) { input_owner_left(client); }

void Stdio::client_drained(Client&) {
  update_sources();
  patience_.reset();
  be_patient();
}

void Stdio::client_gone(Client& client) {
  input_owner_left(client);
  drop(client);
}

// A terminal has no end of input: the next client may go on with it.
void Stdio::input_owner_left(const Client& client) {
  if (client.what().in && options_.stdin_once && !options_.terminal) close_stdin();
}

// --- input ---

void Stdio::to_process(std::string_view bytes) {
  if (stdin_closing_ || bytes.empty() || (started_ && !stdin_)) return;
  if (stdin_pending_.empty() && started_) {
    const ssize_t n = ::write(stdin_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno != EAGAIN && errno != EINTR) return stdin_failed();
    if (n > 0) bytes.remove_prefix(static_cast<std::size_t>(n));
    if (bytes.empty()) return;
  }
  // Before start() it waits here, too: one read of each client at most.
  stdin_pending_ += bytes;
  hold_clients(true);
  stdin_watch_.change(EPOLLOUT);
}

void Stdio::stdin_ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) return flush_stdin();
  stdin_failed();
}

void Stdio::flush_stdin() {
  while (!stdin_pending_.empty()) {
    const ssize_t n = ::write(stdin_.get(), stdin_pending_.data(), stdin_pending_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return stdin_watch_.change(EPOLLOUT);
    if (n < 0) return stdin_failed();
    stdin_pending_.erase(0, static_cast<std::size_t>(n));
  }
  stdin_pending_ = {};
  stdin_watch_.pause();
  if (stdin_closing_) {
    stdin_watch_.reset();
    stdin_.reset();
  }
  hold_clients(false);
}

// The process has closed its stdin: what comes for it is dropped.
void Stdio::stdin_failed() {
  stdin_watch_.reset();
  stdin_.reset();
  stdin_pending_ = {};
  hold_clients(false);
}

void Stdio::close_stdin() {
  if (options_.terminal) return;
  stdin_closing_ = true;
  if (stdin_pending_.empty()) {
    stdin_watch_.reset();
    stdin_.reset();
  }
}

void Stdio::hold_clients(bool hold) {
  for (const auto& client : clients_) client->hold_input(hold);
}

}  // namespace coracle::monitor
