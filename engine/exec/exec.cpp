#include "engine/exec/exec.hpp"

#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/exec/client_stream.hpp"
#include "engine/exec/detach_keys.hpp"
#include "engine/spec/exit_code.hpp"
#include "engine/spec/generate.hpp"

namespace coracle {
namespace {

constexpr std::int64_t kKeep_ns = std::int64_t{10} * 60 * 1'000'000'000;

std::string command_line(const ExecRequest& request) {
  std::string line;
  for (const auto& word : request.cmd.items) line += " " + word;
  return line;
}

// The container's specification, from memory or, after a restart of the daemon, from its bundle.
Result<std::shared_ptr<const oci::Spec>> spec_of(const Store& store, Container& c) {
  auto* running = c.running();
  if (running == nullptr) return fail(Errc::conflict, "container {} is not running", c.id());
  if (running->spec) return running->spec;
  TRY(const auto text, read_file(store.bundle(c.id()) + "/config.json"));
  TRY(auto spec, json::from_text<oci::Spec>(text));
  spec.linux.seccomp.reset();
  spec.mounts.clear();
  running->spec = std::make_shared<const oci::Spec>(std::move(spec));
  return running->spec;
}

// Whatever else it is, an exec that did not come to run ends with 126.
std::int32_t code_of_failure(const Error& e) {
  constexpr std::int32_t kNotFound = 127, kNotRunnable = 126;
  return exit_code_of_failed_start(e) == kNotFound ? kNotFound : kNotRunnable;
}

monitor::ConsoleSize console(const std::vector<std::uint32_t>& size) {
  monitor::ConsoleSize out;
  if (size.size() == 2) {
    out.height = static_cast<std::uint16_t>(size[0]);
    out.width = static_cast<std::uint16_t>(size[1]);
  }
  return out;
}

monitor::Attach attach_of(const ExecView& view, bool framed) {
  monitor::Attach attach;
  attach.exec_id = view.id;
  attach.in = view.request.attach_stdin;
  attach.out = view.request.attach_stdout;
  attach.err = view.request.attach_stderr;
  attach.framed = framed;
  attach.raw = !framed;
  return attach;
}

}  // namespace

Result<Execs::InstancePtr> Execs::find(const std::string& id) const {
  const auto found = all_.find(id);
  if (found != all_.end()) return found->second;
  return fail(Errc::not_found, "No such exec instance: {}", id);
}

void Execs::forget_old() {
  const auto before = now().ns - kKeep_ns;
  std::erase_if(all_, [&](const auto& entry) {
    const auto& exec = *entry.second;
    const bool old = exec.ended_at.ns != 0 && exec.ended_at.ns < before;
    if (old) std::erase(exec.container->exec_ids, entry.first);
    return old;
  });
}

Task<std::string> Execs::create(std::string container, ExecRequest request) {
  CO_TRY(const auto c, context_.table.find(container));
  co_return create_in(c, std::move(request));
}

Result<std::string> Execs::create_in(const ContainerPtr& c, ExecRequest request) {
  CHECK(c->permits(Operation::exec));
  if (request.cmd.items.empty() || request.cmd.items[0].empty())
    return fail(Errc::invalid_argument, "No exec command specified");
  if (auto keys = parse_detach_keys(request.detach_keys); !keys)
    return std::unexpected(keys.error());
  forget_old();
  auto exec = std::make_shared<Instance>();
  exec->view.id = random_id();
  exec->view.container_id = c->id();
  exec->view.request = std::move(request);
  exec->container = c;
  all_[exec->view.id] = exec;
  c->exec_ids.push_back(exec->view.id);
  announce(*context_.events, *c, "exec_create:" + command_line(exec->view.request),
           {{"execID", exec->view.id}});
  return exec->view.id;
}

Result<ExecView> Execs::check_start(const std::string& id) const {
  TRY(const auto exec, find(id));
  if (exec->started) return fail(Errc::conflict, "exec command {} has already run", id);
  CHECK(exec->container->permits(Operation::exec));
  return exec->view;
}

Result<ExecView> Execs::inspect(const std::string& id) const {
  TRY(const auto exec, find(id));
  return exec->view;
}

Task<> Execs::run(InstancePtr exec, monitor::Attach attach, UniqueFd client) {
  const auto& request = exec->view.request;
  auto c = exec->container;
  exec->started = true;
  CO_TRY(const auto spec, spec_of(context_.store, *c));
  monitor::Exec e;
  e.exec_id = exec->view.id;
  CO_TRY(e.process, exec_process(*spec, request));
  e.tty = request.tty;
  e.console = console(request.console_size);
  e.attached = static_cast<bool>(client);
  e.attach = std::move(attach);
  CO_TRY(e.attach.detach_keys, parse_detach_keys(request.detach_keys));
  e.note = json::to_text(request);
  monitor::Request::What message = monitor::op::Exec{std::move(e)};
  std::vector<UniqueFd> fds;
  if (client) fds.push_back(std::move(client));
  exec->view.running = true;
  auto link = c->running()->monitor;
  // Told before the start, as dockerd does: its end may be heard of before the reply.
  announce(*context_.events, *c, "exec_start:" + command_line(request),
           {{"execID", exec->view.id}});
  auto answer = co_await link->request(std::move(message), std::move(fds));
  CO_CHECK(answer);
  exec->view.pid = answer->pid;
  co_return Result<>{};
}

Task<> Execs::start_attached(std::string id, ExecStart how, UniqueFd client, std::string leftover) {
  return context_.owned(
      "exec", run_attached(std::move(id), std::move(how), std::move(client), std::move(leftover)));
}

Task<> Execs::start_detached(std::string id) {
  return context_.owned("exec", run_detached(std::move(id)));
}

Task<> Execs::run_attached(std::string id, ExecStart how, UniqueFd client, std::string leftover) {
  co_await await_head_read(context_.io, client);
  CO_CHECK(check_start(id));
  CO_TRY(auto exec, find(id));
  if (how.console_size.size() == 2) exec->view.request.console_size = std::move(how.console_size);
  CO_TRY(auto copy, duplicate(client));
  auto attach = attach_of(exec->view, !how.tty);
  // Without frames there is one stream, and dockerd gives it stdout alone.
  if (how.tty) attach.err = false;
  attach.leftover_base64 = base64_encode(leftover);
  auto done = co_await run(exec, std::move(attach), std::move(client));
  if (done) co_return done;
  const auto code = code_of_failure(done.error());
  finish(*exec, code, now());
  // The connection is a stream already: the reason is told in it.
  auto text = "OCI runtime exec failed: " + done.error().message + "\r\n";
  if (!how.tty) text = stream_frame(1, text);
  (void)co_await write_to_client(context_.io, copy, std::move(text));
  ::shutdown(copy.get(), SHUT_RDWR);
  co_return Result<>{};
}

Task<> Execs::run_detached(std::string id) {
  CO_CHECK(check_start(id));
  CO_TRY(auto exec, find(id));
  auto done = co_await run(exec, attach_of(exec->view, false), UniqueFd{});
  if (done) co_return done;
  finish(*exec, code_of_failure(done.error()), now());
  const auto code =
      done.error().code == Errc::unavailable ? Errc::unavailable : Errc::invalid_argument;
  co_return std::unexpected(done.error().within("OCI runtime exec failed").as(code));
}

Task<> Execs::start_probe(std::string id, UniqueFd output) {
  CO_CHECK(check_start(id));
  CO_TRY(auto exec, find(id));
  auto done = co_await run(exec, attach_of(exec->view, false), std::move(output));
  if (!done) finish(*exec, code_of_failure(done.error()), now());
  co_return done;
}

Coro<void> Execs::send_kill(std::shared_ptr<MonitorLink> link, std::string id) {
  monitor::op::Signal message;
  message.exec_id = std::move(id);
  message.signal = SIGKILL;
  (void)co_await link->request(std::move(message));
}

void Execs::kill(const std::string& id) {
  const auto exec = find(id);
  if (!exec || !(*exec)->view.running) return;
  if (auto* running = (*exec)->container->running())
    context_.scope.start("kill exec", send_kill(running->monitor, id));
}

void Execs::forget(const std::string& id) {
  const auto exec = find(id);
  if (!exec) return;
  std::erase((*exec)->container->exec_ids, id);
  all_.erase(id);
}

Task<> Execs::resize(std::string id, std::uint16_t height, std::uint16_t width) {
  CO_TRY(auto exec, find(id));
  auto* running = exec->container->running();
  if (!exec->view.running || running == nullptr)
    co_return fail(Errc::conflict, "exec {} is not running", id);
  monitor::op::Resize message;
  message.exec_id = id;
  message.size.height = height;
  message.size.width = width;
  auto link = running->monitor;
  CO_CHECK(co_await link->request(std::move(message)));
  co_return Result<>{};
}

void Execs::finish(Instance& exec, std::int32_t code, Time at) {
  exec.view.running = false;
  exec.view.exit_code = code;
  exec.ended_at = at;
}

void Execs::event(const ContainerPtr& c, const monitor::Answer& answer) {
  if (answer.event == "detached") {
    announce(*context_.events, *c, "exec_detach", {{"execID", answer.exec_id}});
    return;
  }
  if (answer.event != "exit") return;
  if (const auto found = all_.find(answer.exec_id); found != all_.end())
    finish(*found->second, answer.code, now());
  announce(*context_.events, *c, "exec_die",
           {{"execID", answer.exec_id}, {"exitCode", std::to_string(answer.code)}}, answer.time);
  // Only now its streams are closed: who sees the end finds Running false.
  if (auto* running = c->running()) running->monitor->acknowledge(answer.n);
}

void Execs::reattached(const ContainerPtr& c, const std::vector<monitor::ExecView>& execs) {
  for (const auto& known : execs) {
    auto exec = std::make_shared<Instance>();
    exec->container = c;
    exec->started = true;
    exec->view.id = known.exec_id;
    exec->view.container_id = c->id();
    exec->view.pid = known.pid;
    exec->view.running = known.running;
    if (auto request = json::from_text<ExecRequest>(known.note))
      exec->view.request = *std::move(request);
    if (!known.running) finish(*exec, known.code, known.ended.ns != 0 ? known.ended : now());
    all_[known.exec_id] = exec;
    c->exec_ids.push_back(known.exec_id);
  }
}

void Execs::ended(const ContainerPtr& c) {
  for (const auto& id : c->exec_ids) {
    const auto found = all_.find(id);
    if (found != all_.end() && found->second->view.running) finish(*found->second, 137, now());
  }
}

void Execs::removed(const ContainerPtr& c) {
  for (const auto& id : c->exec_ids) all_.erase(id);
  c->exec_ids.clear();
}

}  // namespace coracle
