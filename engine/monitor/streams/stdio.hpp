// Standard streams of one process (the container's own, or an exec's): pipes or a pty, pumped to
// the log and to the attached clients, and from the clients to the process.
//
//   process ──stdout, stderr | pty──▶ log, then every client that asked for it
//   process ◀──stdin | pty─────────── clients, in the order their bytes come
//
// No more is read from the process while a client has not taken the last read (the log got it
// already), and no more from the clients while the process has not taken theirs. A client that
// holds others up for kStalled_ms is let go.
//
// A pty: one slave is held open here, so that a process that closes its terminal and opens it again
// (init systems, getty) is no end of output. It is closed when the process has ended.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/epoll_loop.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/monitor/protocol.hpp"
#include "engine/monitor/streams/client.hpp"
#include "engine/monitor/streams/log_writer.hpp"
#include "engine/runtime/launch.hpp"

namespace coracle::monitor {

class Stdio final : public Client::Owner {
 public:
  struct Options {
    bool terminal = false;
    bool open_stdin = false;              // else /dev/null
    bool stdin_once = false;              // the first client that had stdin closes it by going
    LogWriter* log = nullptr;             // null: no log
    std::span<char> scratch;              // streams/scratch.hpp
    std::function<void()> detached;       // a client has typed its detach keys
    std::function<void()> client_closed;  // a client has gone
    std::function<void()> all_gone;       // after shut_down(): no client is left
  };
  Stdio(Loop& loop, Options options) : loop_(loop), options_(std::move(options)) {}
  Stdio(const Stdio&) = delete;
  Stdio& operator=(const Stdio&) = delete;
  ~Stdio() override;

  // Without a terminal: makes the pipes. Before the process.
  Result<> open_pipes();
  // The process's ends, for launch and join; close_theirs() after it.
  [[nodiscard]] runtime::Stdio theirs() const;
  void close_theirs();
  // With a terminal: takes the pty's master. A size that was set before is applied.
  Result<> take_console(UniqueFd master);
  // Starts to pump. After the process has been made.
  Result<> start();

  // The connection is ours from here on.
  Result<> attach(UniqueFd socket, Attach what);
  // Remembered when there is no pty yet. errors: invalid_argument without a terminal
  Result<> resize(ConsoleSize size);
  void close_stdin();

  // The process has ended: takes what is left of its output. Returns at the end of the streams, or
  // after `limit` when somebody else still holds them (0: what is there now).
  void drain(std::chrono::milliseconds limit);
  // Ends the clients' streams, each once its rest is written.
  void shut_down();
  [[nodiscard]] bool terminal() const { return options_.terminal; }
  [[nodiscard]] bool has_clients() const { return !clients_.empty(); }

 private:
  struct Source {
    Stream stream = Stream::out;
    UniqueFd fd;
    Loop::Watch watch;  // goes before fd
  };

  void client_sent(Client& client, std::string_view bytes) override;
  void client_input_ended(Client& client) override;
  void client_drained(Client& client) override;
  void client_gone(Client& client) override;

  void to_process(std::string_view bytes);
  void stdin_ready(std::uint32_t events);
  void flush_stdin();
  void stdin_failed();
  void hold_clients(bool hold);
  void drop(Client& client);
  void input_owner_left(const Client& client);

  // Reads once. False: nothing was there, or the stream has ended (then its fd is closed).
  bool read_source(Source& source);
  void terminal_hung_up(Source& source);
  void update_sources();
  [[nodiscard]] bool any_blocked() const;
  void be_patient();
  void lose_patience();

  Loop& loop_;
  Options options_;
  std::vector<std::unique_ptr<Source>> sources_;  // with a terminal one: the pty's master
  UniqueFd stdin_;                                // the pipe's write end, or a copy of the master
  Loop::Watch stdin_watch_;                       // goes before stdin_
  UniqueFd slave_;                                // held, see above
  UniqueFd their_in_, their_out_, their_err_;
  std::string stdin_pending_;
  bool stdin_closing_ = false;  // once stdin_pending_ is written
  ConsoleSize size_;
  Loop::Timer patience_;  // runs while a client holds the output up
  std::vector<std::shared_ptr<Client>> clients_;
  bool started_ = false;
  bool draining_ = false;
  bool shut_down_ = false;
};

}  // namespace coracle::monitor
