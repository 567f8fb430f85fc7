#include "tests/integration/netstack_harness.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>

#include "engine/base/file.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"

namespace coracle::netstack::test {

void Child::stop() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  wait();
}

int Child::wait() {
  if (pid_ <= 0) return -1;
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  return exit_status_from_wait(status).code;
}

UniqueFd Vault::open() {
  close();
  auto pair = make_socket_pair(SOCK_SEQPACKET);
  ours_ = std::move(pair->a);
  thread_ = std::thread([this] { serve(); });
  return std::move(pair->b);
}

void Vault::close() {
  if (ours_) ::shutdown(ours_.get(), SHUT_RDWR);
  if (thread_.joinable()) thread_.join();
  ours_.reset();
}

std::size_t Vault::size() {
  const std::lock_guard lock(mutex_);
  return items_.size();
}

void Vault::forget() {
  const std::lock_guard lock(mutex_);
  items_.clear();
}

void Vault::serve() {
  for (;;) {
    auto message = receive_message(ours_);
    if (!message) return;
    const auto request = json::from_text<VaultRequest>(message->text);
    if (!request) return;
    const std::lock_guard lock(mutex_);
    const auto forget = [&](const std::string& name) {
      std::erase_if(items_, [&](const auto& i) { return i.name == name; });
    };
    if (const auto* put = std::get_if<vault::Put>(&request->what)) {
      forget(put->name);
      items_.push_back({put->name, put->data, std::move(message->fds)});
    }
    if (const auto* drop = std::get_if<vault::Drop>(&request->what)) forget(drop->name);
    if (!std::holds_alternative<vault::List>(request->what)) continue;
    for (const auto& i : items_) {
      std::vector<int> fds;
      for (const auto& fd : i.fds) fds.push_back(fd.get());
      if (!send_message(ours_, json::to_text(VaultEntry{i.name, i.data, false}), fds)) return;
    }
    if (!send_message(ours_, json::to_text(VaultEntry{{}, {}, true}), {})) return;
  }
}

Result<std::unique_ptr<Room>> Room::make() {
  std::unique_ptr<Room> room(new Room);
  std::string dir = "/tmp/netstack-test-XXXXXX";
  if (::mkdtemp(dir.data()) == nullptr) return sys_error("make a directory in /tmp");
  room->dir_ = dir;
  TRY(auto ready, make_pipe());
  const uid_t uid = ::getuid();
  const gid_t gid = ::getgid();
  const pid_t pid = ::fork();
  if (pid < 0) return sys_error("fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char done = ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 'y' : 'n';
    [[maybe_unused]] const auto n = ::write(ready.write.get(), &done, 1);
    for (;;) ::pause();
  }
  room->holder_ = Child(pid);
  char done = 'n';
  TRY(const auto n, read_some(ready.read, {&done, 1}));
  if (n != 1 || done != 'y') return fail(Errc::unsupported, "no user namespaces on this host");
  const std::string proc = fmt::format("/proc/{}/", pid);
  const auto write_map = [&](const char* name, const std::string& text) -> Result<> {
    UniqueFd fd(::open((proc + name).c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return sys_error("open {}{}", proc, name);
    return write_all(fd, text);
  };
  CHECK(write_map("setgroups", "deny"));
  CHECK(write_map("uid_map", fmt::format("0 {} 1", uid)));
  CHECK(write_map("gid_map", fmt::format("0 {} 1", gid)));
  room->user_ns_ = UniqueFd(::open((proc + "ns/user").c_str(), O_RDONLY | O_CLOEXEC));
  room->bridge_netns_ = UniqueFd(::open((proc + "ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  if (!room->user_ns_ || !room->bridge_netns_) return sys_error("open namespaces of {}", pid);
  return room;
}

Room::~Room() {
  connection_.reset();
  netstack_.stop();
  vault_.close();
  holder_.stop();
  [[maybe_unused]] const auto removed = remove_tree(dir_);
}

Result<> Room::start_netstack() {
  TRY(const auto program, find_helper("coracle-netstack"));
  UniqueFd vault = vault_.open();
  const pid_t pid = ::fork();
  if (pid < 0) return sys_error("fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::setns(user_ns_.get(), CLONE_NEWUSER) != 0) ::_exit(125);
    const std::string netns = std::to_string(::dup(bridge_netns_.get()));
    const std::string vault_fd = std::to_string(::dup(vault.get()));
    if (descriptors_ != 0) {
      const rlimit limit{descriptors_, descriptors_};
      ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    const char* level = std::getenv("NETSTACK_LOG");
    ::execl(program.c_str(), program.c_str(), "--exec-root", dir_.c_str(), "--bridge-netns-fd",
            netns.c_str(), "--vault-fd", vault_fd.c_str(), "--log-level",
            level == nullptr ? "warn" : level, nullptr);
    ::_exit(126);
  }
  netstack_ = Child(pid);
  vault.reset();
  for (int i = 0; i < 6000; ++i) {
    if (auto c = connect_unix(socket(), SOCK_SEQPACKET)) {
      connection_ = *std::move(c);
      return {};
    }
    if (::waitpid(pid, nullptr, WNOHANG) == pid) {
      netstack_ = Child();
      return fail(Errc::internal, "coracle-netstack ended at once: see its log above");
    }
    ::usleep(10'000);
  }
  return fail(Errc::unavailable, "coracle-netstack does not answer");
}

void Room::kill_netstack() {
  netstack_.stop();
  connection_.reset();
}

Result<Room::Answer> Room::ask(Request::What what) {
  Request request;
  request.seq = ++seq_;
  request.what = std::move(what);
  CHECK(send_message(connection_, json::to_text(request), {}));
  TRY(auto message, receive_message(connection_));
  Answer answer;
  TRY(answer.reply, json::from_text<Reply>(message.text));
  if (const auto& e = answer.reply.error) return std::unexpected(message::from_wire(*e));
  if (!message.fds.empty()) answer.netns = std::move(message.fds.front());
  return answer;
}

Result<Room::Answer> Room::attach(const std::string& id, std::vector<PortRequest> ports,
                                  const std::string& network) {
  return ask(op::Attach{AttachRequest{id, "test", network, {}, {}, std::move(ports)}});
}

Child Room::start_inside(const UniqueFd& netns, const std::function<int()>& function) {
  const pid_t pid = ::fork();
  if (pid != 0) return Child(pid);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::setns(user_ns_.get(), CLONE_NEWUSER) != 0) ::_exit(120);
  if (::setns(netns.get(), CLONE_NEWNET) != 0) ::_exit(121);
  ::_exit(function());
}

std::string id_of(const std::string& start) { return start + std::string(64 - start.size(), '0'); }

}  // namespace coracle::netstack::test
