#include "engine/inspect/top.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <csignal>

#include "engine/base/async/own_thread.hpp"
#include "engine/base/text.hpp"

namespace coracle {
namespace {

constexpr std::size_t kOutputLimit = std::size_t{64} << 20;
constexpr auto kPsLimit = std::chrono::seconds(10);

// `-o pid=X` would give the column of pids another title, so that it is not found.
std::vector<std::string> own_words(std::string_view line) {
  const auto words = words_of(line);
  return {words.begin(), words.end()};
}

Result<> check_ps_args(const std::vector<std::string>& args) {
  for (const auto& arg : args) {
    const auto eq = arg.find('=');
    if (eq == std::string::npos) continue;
    const auto column = arg.substr(0, eq);
    const auto title = arg.substr(eq + 1);
    if (title.starts_with("PID") && column != "pid" && column != "-opid")
      return fail(Errc::invalid_argument, "specifying \"{}={}\" is not allowed", column, title);
  }
  return {};
}

Result<UniqueFd> scratch_file(const char* name) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd) return sys_error("make a file in memory for {}", name);
  return fd;
}

Result<std::string> text_of(const UniqueFd& fd) {
  if (::lseek(fd.get(), 0, SEEK_SET) < 0) return sys_error("read what ps wrote");
  return read_all(fd, kOutputLimit);
}

// ps reads the memory of others: a process whose own does not answer (it lies in a file system that
// hangs) would hold it for ever.
Result<ExitStatus> end_of_ps(const Pidfd& ps, const StopFlag& stop) {
  constexpr int kLook_ms = 100;
  const auto deadline = std::chrono::steady_clock::now() + kPsLimit;
  while (!stop && std::chrono::steady_clock::now() < deadline) {
    pollfd ended{ps.fd().get(), POLLIN, 0};
    if (::poll(&ended, 1, kLook_ms) == 1) return ps.wait();
  }
  (void)ps.send_signal(SIGKILL);
  (void)ps.wait();
  if (stop) return fail(Errc::unavailable, "the client has left");
  return fail(Errc::unavailable, "ps does not end: a process of this host does not answer");
}

struct PsRun {
  int code = 0;
  std::string out, err;
};
// Into files in memory, so that neither stream can fill up while we read the other.
Result<PsRun> run_ps(const std::vector<std::string>& args, const StopFlag& stop) {
  TRY(const auto out, scratch_file("ps"));
  TRY(const auto err, scratch_file("ps errors"));
  SpawnOptions options;
  options.program = "ps";
  options.argv = {"ps"};
  options.argv.insert(options.argv.end(), args.begin(), args.end());
  options.fds = {{out.get(), 1}, {err.get(), 2}};
  const auto ps = spawn(options);
  if (!ps && ps.error().code == Errc::not_found)
    return fail(Errc::internal,
                "ps: executable file not found in $PATH; an administrator can install procps");
  if (!ps) return std::unexpected(ps.error());
  PsRun run;
  TRY(const auto status, end_of_ps(*ps, stop));
  run.code = status.code;
  TRY(run.out, text_of(out));
  TRY(run.err, text_of(err));
  return run;
}

Result<ProcessList> look(const ProcessTree& tree, std::vector<std::string> args,
                         const StopFlag& stop) {
  TRY(const auto pids, processes_of(tree));
  const auto plain = args;
  std::string list = "-q";
  for (const pid_t pid : pids) list += (list.size() > 2 ? "," : "") + std::to_string(pid);
  args.push_back(std::move(list));
  TRY(auto run, run_ps(args, stop));
  if (run.code != 0) {
    // Some options (f) do not go with -q.
    TRY(run, run_ps(plain, stop));
  }
  if (run.code != 0)
    return fail(Errc::internal, "ps: {}",
                run.err.empty() ? fmt::format("exit status {}", run.code)
                                : run.err.substr(0, run.err.find('\n')));
  return parse_ps(run.out, {pids.begin(), pids.end()});
}

}  // namespace

Result<ProcessList> parse_ps(const std::string& output, const std::set<pid_t>& pids) {
  ProcessList list;
  std::size_t pid_column = 0;
  bool above_is_ours = false;
  std::size_t at = 0;
  while (at < output.size()) {
    const auto end = std::min(output.find('\n', at), output.size());
    const auto line = std::string_view(output).substr(at, end - at);
    at = end + 1;
    auto words = own_words(line);
    if (list.titles.empty()) {
      const auto found = std::ranges::find(words, "PID");
      if (found == words.end()) return fail(Errc::internal, "Couldn't find PID field in ps output");
      pid_column = static_cast<std::size_t>(found - words.begin());
      list.titles = std::move(words);
      continue;
    }
    if (words.size() <= pid_column) continue;
    if (words[pid_column] != "-") {
      const auto& text = words[pid_column];
      pid_t pid = 0;
      const auto [stop, ec] = std::from_chars(text.data(), text.data() + text.size(), pid);
      if (ec != std::errc{} || stop != text.data() + text.size())
        return fail(Errc::internal, "Unexpected pid '{}'", text);
      above_is_ours = pids.contains(pid);
    }
    if (!above_is_ours) continue;
    // The last column is the rest of the line: a command has blanks.
    const auto columns = list.titles.size();
    while (words.size() > columns) {
      words[columns - 1] += ' ' + words[columns];
      words.erase(words.begin() + static_cast<std::ptrdiff_t>(columns));
    }
    words.resize(columns);
    list.rows.push_back(std::move(words));
  }
  if (list.titles.empty()) return fail(Errc::internal, "Couldn't find PID field in ps output");
  return list;
}

Task<ProcessList> list_processes(Context& context, ContainerPtr c, std::string ps_args) {
  auto args = own_words(ps_args.empty() ? "-ef" : ps_args);
  CO_CHECK(check_ps_args(args));
  CO_TRY(auto tree, process_tree_of(*context.storage, *c));
  auto job = [tree = std::move(tree), args = std::move(args)](const StopFlag& stop) {
    return look(tree, args, stop);
  };
  ThreadOwner owner{Lane::trees, c->id()};
  CO_TRY(auto list, co_await run_on_thread(context.io, std::move(job), std::move(owner)));
  announce(*context.events, *c, "top");
  co_return list;
}

}  // namespace coracle
