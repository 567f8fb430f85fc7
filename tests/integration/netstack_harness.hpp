// A keeper stand-in for tests of netstack: user and bridge namespaces, the vault, and a real
// coracle-netstack on them.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "netstack/protocol.hpp"

namespace coracle::netstack::test {

// A child of ours; killed and reaped when dropped.
class Child {
 public:
  Child() = default;
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(Child&& o) noexcept : pid_(std::exchange(o.pid_, 0)) {}
  Child& operator=(Child&& o) noexcept {
    stop();
    pid_ = std::exchange(o.pid_, 0);
    return *this;
  }
  ~Child() { stop(); }
  void stop();  // SIGKILL
  int wait();   // its exit code; 128 + signal
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

class Vault {
 public:
  ~Vault() { close(); }
  UniqueFd open();  // the netstack's end, for a new process
  void close();
  std::size_t size();
  void forget();  // as a killed keeper

 private:
  struct Item {
    std::string name;
    std::string data;
    std::vector<UniqueFd> fds;
  };
  void serve();
  UniqueFd ours_;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<Item> items_;
};

class Room {
 public:
  // errors: what the host lacks
  static Result<std::unique_ptr<Room>> make();
  ~Room();

  Result<> start_netstack();
  // How many descriptors a netstack that is started from now on may have.
  void limit_descriptors(std::size_t count) { descriptors_ = count; }
  void kill_netstack();
  [[nodiscard]] pid_t netstack_pid() const { return netstack_.pid(); }
  [[nodiscard]] std::string socket() const { return dir_ + "/netstack.sock"; }
  Vault& vault() { return vault_; }

  struct Answer {
    Reply reply;
    UniqueFd netns;
  };
  // A request on a connection that is kept, blocking.
  Result<Answer> ask(Request::What what);
  Result<Answer> attach(const std::string& id, std::vector<PortRequest> ports = {},
                        const std::string& network = "bridge");

  // Runs a function in a process of its own inside a network namespace; its result is the exit
  // code.
  Child start_inside(const UniqueFd& netns, const std::function<int()>& function);
  int run_inside(const UniqueFd& netns, const std::function<int()>& function) {
    return start_inside(netns, function).wait();
  }
  [[nodiscard]] const UniqueFd& bridge_netns() const { return bridge_netns_; }

 private:
  Room() = default;
  std::string dir_;
  Child holder_;
  UniqueFd user_ns_;
  UniqueFd bridge_netns_;
  Vault vault_;
  Child netstack_;
  UniqueFd connection_;
  std::uint64_t seq_ = 0;
  std::size_t descriptors_ = 0;  // 0: as we
};

// A 64-hex container id that starts with this.
std::string id_of(const std::string& start);

}  // namespace coracle::netstack::test
