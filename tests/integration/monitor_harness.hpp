// A coracle-monitor and a bundle of busybox for it, started as the engine would start it: in a user
// and a mount namespace, which are the keeper's elsewhere.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ipc/channel.hpp"
#include "engine/base/process/process.hpp"
#include "engine/monitor/protocol.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::monitor {

// Longer than anything takes on any machine.
constexpr std::chrono::milliseconds kPatience{60'000};
bool eventually(const std::function<bool()>& holds);

// A client's end of an attached stream.
class Stream {
 public:
  // Makes a socket pair; theirs() is given away.
  Stream();
  UniqueFd theirs() { return std::move(theirs_); }
  [[nodiscard]] const UniqueFd& fd() const { return ours_; }
  void send(const std::string& data) const;
  void end_input() const;
  void close() { ours_.reset(); }
  // Reads until the end, or until `until` was seen in what came, or kPatience.
  std::string read(const std::string& until = "");
  // What came in frames, of one stream.
  static std::string payload(const std::string& framed, int stream);
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  UniqueFd ours_, theirs_;
  bool ended_ = false;
};

class Harness {
 public:
  Harness();
  ~Harness();
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;

  // "" or why this host cannot run the tests.
  static std::string lacking();

  oci::Spec spec;  // written by create()
  Create create_request;

  // Sends a request with descriptors (moved), waits for its answer; events are kept.
  Answer ask(Request::What what, std::vector<UniqueFd> fds = {});
  Answer ask(const std::string& op);  // one without fields
  // create and start, and expects success.
  Answer create(std::vector<UniqueFd> fds = {});
  void start();
  // The next event of that name (kPatience, else a failed expectation). Exits are acknowledged if
  // told.
  Answer event(const std::string& name, bool acknowledge = true);
  [[nodiscard]] std::optional<Answer> event_within(const std::string& name,
                                                   std::chrono::milliseconds time);
  Answer exec(const std::string& id, std::vector<std::string> args, std::optional<Attach> attach,
              UniqueFd fd = {}, bool tty = false);

  // Closes the engine's connection; connect() makes a new one by monitor.sock.
  void disconnect() { socket_.reset(); }
  void connect();
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::optional<ExitRecord> exit_record() const;
  [[nodiscard]] bool monitor_ends_within(std::chrono::milliseconds time) const;
  [[nodiscard]] pid_t monitor_pid() const { return monitor_.pid(); }
  [[nodiscard]] std::string dir() const { return dir_; }
  [[nodiscard]] std::string socket_path() const {
    return create_request.run_dir + "/" + kSocketName;
  }

 private:
  bool receive(std::chrono::milliseconds time);

  std::string dir_ = "/tmp/monitor_test_XXXXXX";
  Pidfd monitor_;
  UniqueFd socket_;
  std::uint64_t seq_ = 0;
  std::deque<Answer> events_;
  std::deque<Answer> answers_;
};

}  // namespace coracle::monitor
