// coracle-fuzz TARGET [OPTION…] [FILE|FOLDER…]: runs inputs through one parser, in one process.
//
// The files are run first, as they are. Then inputs are made by changing those that have reached
// something new so far (coverage.hpp), until --inputs are run or --seconds are over; with neither,
// the files are all. The same seed and files give the same inputs. Ends with 1 at the first
// finding (target.hpp), which is written to a file (guard.hpp).
//
//   --inputs N     how many are made; "default": what suits tests/run
//   --seconds S    or until so much time is over
//   --seed N       of the random numbers; 1 when not given
//   --findings DIR where a finding is written to; the current folder when not given
//   --keep DIR     writes what reaches something new to that folder
//   --merge DIR    writes the files that are worth keeping, of all that were named, to that folder
//   --list         prints the names of the targets
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include <fmt/core.h>

#include "engine/base/log.hpp"
#include "tests/fuzz/corpus.hpp"
#include "tests/fuzz/coverage.hpp"
#include "tests/fuzz/guard.hpp"
#include "tests/fuzz/mutate.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
constexpr std::size_t kChangesOfOne = 32;  // of an input that was picked
constexpr std::size_t kLeakCheck = 250'000;

struct Options {
  std::string target, findings = ".", keep, merge;
  std::optional<std::size_t> inputs;
  std::optional<std::size_t> seconds;
  bool default_inputs = false, list = false;
  std::uint64_t seed = 1;
  std::vector<std::string> files;
};

std::vector<Target> all_targets() {
  std::vector<Target> out;
  for (auto* some : {base_targets, archive_targets, load_targets, image_targets, netstack_targets,
                     engine_targets, log_targets, message_targets, http_targets, request_targets})
    std::ranges::move(some(), std::back_inserter(out));
  return out;
}

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

// Nothing when the command line cannot be understood.
std::optional<Options> read_options(const std::vector<std::string>& args) {
  Options o;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const auto& a = args[i];
    if (a == "--list") {
      o.list = true;
      continue;
    }
    if (!a.starts_with("--")) {
      (o.target.empty() ? o.target : o.files.emplace_back()) = a;
      continue;
    }
    if (++i == args.size()) return std::nullopt;
    const auto& value = args[i];
    const auto n = number(value);
    if (a == "--findings") {
      o.findings = value;
    } else if (a == "--keep") {
      o.keep = value;
    } else if (a == "--merge") {
      o.merge = value;
    } else if (a == "--inputs" && value == "default") {
      o.default_inputs = true;
    } else if (a == "--inputs" && n) {
      o.inputs = *n;
    } else if (a == "--seconds" && n) {
      o.seconds = *n;
    } else if (a == "--seed" && n) {
      o.seed = *n;
    } else {
      return std::nullopt;
    }
  }
  if (o.target.empty() && !o.list) return std::nullopt;
  return o;
}

std::string read_whole(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The files that are named, and those in the folders that are named, in the order of their names.
std::optional<std::vector<fs::path>> find_files(const std::vector<std::string>& named) {
  std::vector<fs::path> out;
  for (const auto& name : named) {
    if (fs::is_directory(name)) {
      for (const auto& entry : fs::directory_iterator(name))
        if (entry.is_regular_file()) out.push_back(entry.path());
    } else if (fs::exists(name)) {
      out.emplace_back(name);
    } else {
      fmt::print(stderr, "fuzz: {}: no such file\n", name);
      return std::nullopt;
    }
  }
  std::ranges::sort(out);
  return out;
}

void write_whole(const std::string& folder, const std::string& input) {
  fs::create_directories(folder);
  const auto name = fmt::format("{:016x}", std::hash<std::string>{}(input));
  std::ofstream(fs::path(folder) / name, std::ios::binary) << input;
}

class Fuzzer {
 public:
  Fuzzer(const Target& target, const Options& options)
      : target_(target), options_(options), random_(options.seed), started_(Clock::now()) {}

  void run_files(const std::vector<fs::path>& files) {
    for (const auto& file : files) {
      auto input = read_whole(file);
      run(input, false);
      ++files_;
    }
    if (corpus_.size() == 0) run("", false);
  }

  void run_changes() {
    const auto most = options_.default_inputs
                          ? target_.inputs
                          : options_.inputs.value_or(options_.seconds ? SIZE_MAX : 0);
    while (made_ < most && !late()) {
      const std::string base = corpus_.pick(random_);
      run(base, true);
      const auto comparisons = coverage::comparisons();
      for (std::size_t i = 0; i < kChangesOfOne && made_ < most; ++i) {
        std::string input = base;
        const std::string other = corpus_.pick(random_);
        if (target_.mutate && random_.one_in(2)) target_.mutate(input, random_);
        if (!target_.mutate || random_.one_in(2))
          fuzz::mutate(input, {target_.dictionary, comparisons, other, target_.largest}, random_);
        if (input.size() > target_.largest) input.resize(target_.largest);
        if (target_.mend && !random_.one_in(8)) target_.mend(input);
        if (run(input, false) && !options_.keep.empty()) write_whole(options_.keep, input);
      }
    }
  }

  void tell() const {
    const double s = std::chrono::duration<double>(Clock::now() - started_).count();
    const double cpu = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
    fmt::print(
        "fuzz: {}: {} inputs in {:.1f} s, {:.1f} s of them on a processor, slowest {} ms, {} "
        "files, corpus {}, "
        "{} edges, {} features, seed {}, no finding\n",
        target_.name, made_, s, cpu, slowest_.count(), files_, corpus_.size(), corpus_.edges(),
        corpus_.features(), options_.seed);
  }

  [[nodiscard]] const Corpus& corpus() const { return corpus_; }

 private:
  // true: it has reached something new
  bool run(const std::string& input, bool compared) {
    // A copy of just its size, so that a read beyond its end is seen.
    const std::vector<char> exact(input.begin(), input.end());
    const std::string_view view(exact.data(), exact.size());
    guard_input(exact.empty() ? std::string_view("") : view);
    const auto before = Clock::now();
    coverage::begin(compared);
    target_.run(view);
    coverage::end();
    slowest_ = std::max(
        slowest_, std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - before));
    guard_input({});
    ++made_;
    if (made_ % kLeakCheck == 0) check_leaks();
    return corpus_.offer(input, coverage::features());
  }

  [[nodiscard]] bool late() const {
    return options_.seconds && Clock::now() - started_ > std::chrono::seconds(*options_.seconds);
  }

  const Target& target_;
  const Options& options_;
  Random random_;
  Clock::time_point started_;
  std::chrono::milliseconds slowest_{0};  // of one input
  Corpus corpus_;
  std::size_t made_ = 0, files_ = 0;
};

int fuzz(const std::string& program, const Options& options) {
  const auto targets = all_targets();
  if (options.list) {
    for (const auto& t : targets) fmt::print("{}\n", t.name);
    return 0;
  }
  const auto target = std::ranges::find(targets, options.target, &Target::name);
  const auto files = find_files(options.files);
  if (target == targets.end()) fmt::print(stderr, "fuzz: {}: no such target\n", options.target);
  if (target == targets.end() || !files) return 2;
  fmt::print("fuzz: {} --seed {}\n", target->name, options.seed);
  std::fflush(stdout);
  fs::create_directories(options.findings);
  guard(program, target->name, options.findings);
  Fuzzer fuzzer(*target, options);
  fuzzer.run_files(*files);
  fuzzer.run_changes();
  check_leaks();
  fuzzer.tell();
  if (!options.merge.empty())
    for (const auto& input : fuzzer.corpus().all()) write_whole(options.merge, input);
  return 0;
}

}  // namespace
}  // namespace coracle::fuzz

int main(int argc, char** argv) {
  const auto options = coracle::fuzz::read_options({argv + 1, argv + argc});
  if (!options) {
    fmt::print(stderr,
               "usage: coracle-fuzz TARGET [--inputs N] [--seconds S] [--seed N] [--findings DIR] "
               "[--keep DIR] [--merge DIR] [FILE|FOLDER…]\n       coracle-fuzz --list\n");
    return 2;
  }
  coracle::log::set_up("fuzz", coracle::log::Level::error);
  return coracle::fuzz::fuzz(argv[0], *options);
}
