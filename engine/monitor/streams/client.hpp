// One attached client: the connection of a `docker attach`, `run` or `exec` after its upgrade,
// which the engine has handed over. Output goes out framed or raw, at most one read's worth waits
// for a slow reader; what the client sends is passed to the owner.
//
//   open ──eof from the client──▶ open, no input ──▶ finish(): the rest is written, write side shut
//     │                                              down, what the client still sends is dropped
//     └── error, both sides closed, close() ──▶ gone ◀── client closed, or it took too long
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/epoll_loop.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/monitor/protocol.hpp"
#include "engine/monitor/streams/detach_keys.hpp"
#include "engine/monitor/streams/log_writer.hpp"

namespace coracle::monitor {

class Client {
 public:
  // Whoever holds the client. It is told during the loop's turn, and may drop the client at once.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void client_sent(Client& client, std::string_view bytes) = 0;
    virtual void client_input_ended(Client& client) = 0;
    virtual void client_drained(Client& client) = 0;  // nothing waits for it any more
    virtual void client_gone(Client& client) = 0;     // last call
  };

  //   scratch  a buffer for each read; others use it between two
  Client(Loop& loop, Owner& owner, UniqueFd socket, Attach what, bool terminal,
         std::span<char> scratch)
      : loop_(loop),
        owner_(owner),
        socket_(std::move(socket)),
        what_(std::move(what)),
        keys_(terminal ? DetachKeys(what_.detach_keys) : DetachKeys()),
        framed_(what_.framed || (!terminal && !what_.raw)),
        scratch_(scratch) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(); }

  // Begins to listen to the client.
  Result<> open();
  // Output of the process. Ignored when the client did not ask for this stream.
  void deliver(Stream stream, std::string_view data);
  // Has not taken the last read yet, and so holds the output back.
  [[nodiscard]] bool blocked() const { return !pending_.empty() && !finishing_; }
  // Since when something waits for it without a break; for one that is blocked.
  [[nodiscard]] std::chrono::steady_clock::time_point blocked_since() const {
    return blocked_since_;
  }
  // While the process does not take its input, no more is read from the client.
  void hold_input(bool hold);
  // The process has ended and all its output was delivered.
  void finish();
  // Ends the connection now, with what waits for it.
  void let_go() { gone(); }
  // Ends the connection now. Owner::client_gone is not called.
  void close();

  [[nodiscard]] const Attach& what() const { return what_; }
  [[nodiscard]] DetachKeys& keys() { return keys_; }

 private:
  [[nodiscard]] bool wants(Stream stream) const;
  void ready(std::uint32_t events);
  void read_input();
  void flush();
  void send_end();
  void update();
  void gone();
  void give_up_after(int ms);

  Loop& loop_;
  Owner& owner_;
  UniqueFd socket_;
  Loop::Watch watch_;  // goes before the socket
  Attach what_;
  DetachKeys keys_;
  bool framed_;
  std::span<char> scratch_;
  std::string pending_;
  std::chrono::steady_clock::time_point blocked_since_;
  bool input_ended_ = false;
  bool held_ = false;
  bool finishing_ = false;
  bool end_sent_ = false;
  Loop::Timer patience_;
};

}  // namespace coracle::monitor
