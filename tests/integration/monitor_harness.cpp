#include "tests/integration/monitor_harness.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <gtest/gtest.h>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"

namespace coracle::monitor {

bool eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

namespace {

bool readable(const UniqueFd& fd, std::chrono::milliseconds time) {
  pollfd p{fd.get(), POLLIN, 0};
  return ::poll(&p, 1, static_cast<int>(time.count())) == 1;
}

oci::Spec busybox_spec() {
  oci::Spec s;
  s.process.args = {"/bin/sh", "-c", "true"};
  s.process.env = {"PATH=/bin"};
  s.root.path = "rootfs";
  s.hostname = "test";
  s.mounts = {{"/proc", "proc", "proc", {}},
              {"/dev", "tmpfs", "tmpfs", {"nosuid", "mode=755", "size=64k"}},
              {"/dev/pts", "devpts", "devpts", {"newinstance", "ptmxmode=0666", "mode=0620"}}};
  for (const char* type : {"pid", "network", "ipc", "uts", "mount"})
    s.linux.namespaces.push_back({type, ""});
  return s;
}

}  // namespace

Stream::Stream() {
  auto pair = make_socket_pair(SOCK_STREAM);
  ours_ = std::move(pair->a);
  theirs_ = std::move(pair->b);
}

void Stream::send(const std::string& data) const {
  EXPECT_TRUE(write_all(ours_, data).has_value());
}
void Stream::end_input() const { ::shutdown(ours_.get(), SHUT_WR); }

std::string Stream::read(const std::string& until) {
  theirs_.reset();
  std::string all;
  std::string buffer(std::size_t{256} << 10, '\0');
  while (until.empty() || all.find(until) == std::string::npos) {
    if (!readable(ours_, kPatience)) {
      ADD_FAILURE() << "no more came after: " << all.substr(0, 2000);
      break;
    }
    const auto n = read_some(ours_, buffer);
    ended_ = !n || *n == 0;
    if (ended_) break;
    all.append(buffer.data(), *n);
  }
  return all;
}

std::string Stream::payload(const std::string& framed, int stream) {
  std::string out;
  for (std::size_t at = 0; at + 8 <= framed.size();) {
    const auto byte = [&](std::size_t i) {
      return static_cast<std::size_t>(static_cast<unsigned char>(framed[at + i]));
    };
    const std::size_t n = byte(4) << 24U | byte(5) << 16U | byte(6) << 8U | byte(7);
    EXPECT_GT(n, 0U);
    EXPECT_LE(at + 8 + n, framed.size());
    if (byte(0) == static_cast<std::size_t>(stream)) out += framed.substr(at + 8, n);
    at += 8 + n;
  }
  return out;
}

std::string Harness::lacking() {
  if (::geteuid() == 0) return "run as an unprivileged user";
  if (!exists("/bin/busybox")) return "no /bin/busybox (busybox-static)";
  if (!find_helper("coracle-monitor")) return "coracle-monitor is not built";
  SpawnOptions unshare;
  unshare.program = "unshare";
  unshare.argv = {"unshare", "--user", "--map-root-user", "--mount", "true"};
  const auto tried = spawn(unshare);
  if (!tried) return "no unshare(1)";
  const auto ended = tried->wait();
  if (!ended || ended->code != 0) return "no user namespaces for this user";
  return "";
}

Harness::Harness() : spec(busybox_spec()) {
  EXPECT_NE(::mkdtemp(dir_.data()), nullptr);
  EXPECT_TRUE(make_dirs(dir_ + "/bundle/rootfs/bin").has_value());
  EXPECT_TRUE(make_dirs(dir_ + "/state").has_value());
  const auto busybox = read_file("/bin/busybox");
  EXPECT_TRUE(
      write_file_atomic(dir_ + "/bundle/rootfs/bin/busybox", *busybox, 0755, Durability::unsynced)
          .has_value());
  for (const char* name : {"sh", "cat", "sleep", "stty", "head", "tail", "md5sum", "kill", "true"})
    EXPECT_EQ(::symlink("busybox", (dir_ + "/bundle/rootfs/bin/" + name).c_str()), 0);
  create_request.id = "test";
  create_request.bundle = dir_ + "/bundle";
  create_request.run_dir = dir_ + "/run";
  create_request.state_dir = dir_ + "/state";
  create_request.log.path = dir_ + "/state/log";
  create_request.sync_exit = false;

  auto pair = make_socket_pair(SOCK_SEQPACKET);
  SpawnOptions options;
  // As in the keeper's user and mount namespaces, with one id.
  options.program = "unshare";
  options.argv = {
      "unshare",      "--user", "--map-root-user", "--mount", *find_helper("coracle-monitor"),
      "--control-fd", "3"};
  options.new_session = true;
  options.fds = {{pair->b.get(), 3}};
  auto spawned = spawn(options);
  EXPECT_TRUE(spawned.has_value());
  if (spawned) monitor_ = *std::move(spawned);
  socket_ = std::move(pair->a);
}

Harness::~Harness() {
  if (monitor_ && !monitor_.ended()) {
    Request kill;
    kill.what = op::Signal{"", SIGKILL, true};
    if (!socket_) connect();
    if (socket_) (void)send_message(socket_, json::to_text(kill), {});
    socket_.reset();
    if (!monitor_ends_within(kPatience)) (void)monitor_.send_signal(SIGKILL);
  }
  if (monitor_) (void)monitor_.wait();
  (void)remove_tree(dir_);
}

void Harness::connect() {
  auto socket = connect_unix(socket_path(), SOCK_SEQPACKET);
  if (socket) socket_ = *std::move(socket);
}

bool Harness::receive(std::chrono::milliseconds time) {
  if (!socket_ || !readable(socket_, time)) return false;
  auto message = receive_message(socket_);
  if (!message) {
    socket_.reset();
    return false;
  }
  auto answer = json::from_text<Answer>(message->text);
  EXPECT_TRUE(answer.has_value()) << message->text;
  if (answer) (answer->event.empty() ? answers_ : events_).push_back(*std::move(answer));
  return true;
}

Answer Harness::ask(Request::What what, std::vector<UniqueFd> fds) {
  Request request;
  request.seq = ++seq_;
  request.what = std::move(what);
  Message message{json::to_text(request), std::move(fds)};
  EXPECT_TRUE(send_message(socket_, message).has_value());
  message.fds.clear();
  while (answers_.empty() && receive(kPatience)) continue;
  if (answers_.empty()) {
    ADD_FAILURE() << "no answer to " << message::name_of_op(request.what);
    return {};
  }
  auto answer = std::move(answers_.front());
  answers_.pop_front();
  EXPECT_EQ(answer.re, request.seq);
  return answer;
}

Answer Harness::ask(const std::string& op) { return ask(message::Unknown{op}); }

Answer Harness::create(std::vector<UniqueFd> fds) {
  EXPECT_TRUE(write_file_atomic(dir_ + "/bundle/config.json", json::to_text(spec), 0600,
                                Durability::unsynced)
                  .has_value());
  auto answer = ask(op::Create{create_request}, std::move(fds));
  EXPECT_FALSE(answer.error.has_value()) << answer.error->message;
  return answer;
}

void Harness::start() {
  const auto answer = ask("start");
  EXPECT_FALSE(answer.error.has_value()) << answer.error->message;
}

std::optional<Answer> Harness::event_within(const std::string& name,
                                            std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  for (;;) {
    for (auto i = events_.begin(); i != events_.end(); ++i) {
      if (i->event != name) continue;
      auto found = std::move(*i);
      events_.erase(i);
      return found;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (!receive(std::max(left, std::chrono::milliseconds(0)))) return std::nullopt;
  }
}

Answer Harness::event(const std::string& name, bool acknowledge) {
  auto found = event_within(name, kPatience);
  if (!found) {
    ADD_FAILURE() << "no event " << name;
    return {};
  }
  if (name == "exit" && acknowledge) {
    Request ack;
    ack.what = op::Ack{found->n};
    EXPECT_TRUE(send_message(socket_, json::to_text(ack), {}).has_value());
  }
  return *found;
}

Answer Harness::exec(const std::string& id, std::vector<std::string> args,
                     std::optional<Attach> attach, UniqueFd fd, bool tty) {
  oci::Process process;
  process.args = std::move(args);
  process.env = spec.process.env;
  op::Exec request;
  request.exec.exec_id = id;
  request.exec.process = process;
  request.exec.tty = tty;
  request.exec.attached = attach.has_value();
  if (attach) request.exec.attach = *attach;
  std::vector<UniqueFd> fds;
  if (fd) fds.push_back(std::move(fd));
  return ask(std::move(request), std::move(fds));
}

std::string Harness::log() const {
  const auto text = read_file(create_request.log.path);
  return text ? *text : "";
}

std::optional<ExitRecord> Harness::exit_record() const {
  const auto text = read_file(dir_ + "/state/" + kExitName);
  if (!text) return std::nullopt;
  const auto record = json::from_text<ExitRecord>(*text);
  return record ? std::optional(*record) : std::nullopt;
}

bool Harness::monitor_ends_within(std::chrono::milliseconds time) const {
  return readable(monitor_.fd(), time);
}

}  // namespace coracle::monitor
