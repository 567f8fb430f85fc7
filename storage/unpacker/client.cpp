#include "storage/unpacker/client.hpp"

#include <fcntl.h>

#include <csignal>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/json.hpp"
#include "engine/base/process/process.hpp"
#include "storage/unpacker/protocol.hpp"

namespace coracle::storage {
namespace {

constexpr int kPipeSize = 1 << 20;
constexpr std::size_t kPiece = std::size_t{256} << 10;

Result<Pipe> make_large_pipe() {
  TRY(auto pipe, make_pipe());
  // Only a matter of speed; a user's sum of them is limited. See pipe(7).
  static_cast<void>(::fcntl(pipe.write.get(), F_SETPIPE_SZ, kPipeSize));
  return pipe;
}

// A coracle-unpack at work. Dropped before its end, it is killed.
class Helper {
 public:
  static Result<Helper> start(std::vector<std::string> arguments,
                              std::vector<SpawnOptions::Mapping> fds) {
    // Asked once: where it lies does not change while the daemon lives.
    static const Result<std::string> program = find_helper("coracle-unpack");
    if (!program) return std::unexpected(program.error());
    TRY(auto input, make_large_pipe());
    TRY(auto outcome, make_pipe());
    SpawnOptions options;
    options.program = *program;
    options.argv = {"coracle-unpack"};
    for (auto& a : arguments) options.argv.push_back(std::move(a));
    options.inherit_env = false;
    options.fds = std::move(fds);
    options.fds.push_back({input.read.get(), STDIN_FILENO});
    options.fds.push_back({outcome.write.get(), unpacker::kOutcome});
    TRY(auto process, spawn(options));
    return Helper(std::move(process), std::move(input.write), std::move(outcome.read));
  }
  Helper(Helper&&) = default;
  Helper& operator=(Helper&&) = delete;
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper() { kill(); }

  // Passes all of `from` on.   errors  those of `from`. That the helper reads no more is none:
  // its outcome tells.
  Result<> feed(ByteSource& from) {
    std::vector<char> piece(kPiece);
    for (;;) {
      TRY(const auto n, from.read(piece));
      if (n == 0) break;
      if (!write_all(input_, {piece.data(), n})) break;
    }
    input_.reset();
    return {};
  }

  // Waits for its end.
  Result<unpacker::Outcome> outcome() {
    input_.reset();
    const auto text = read_all(outcome_, unpacker::kMostOutcome);
    const auto ended = process_.wait();
    process_ = {};
    CHECK(text);
    CHECK(ended);
    auto out = text->empty() ? fail(Errc::internal, "") : json::from_text<unpacker::Outcome>(*text);
    if (!out || ended->code != 0)
      return fail(Errc::internal, "coracle-unpack ended with status {} before it was done",
                  ended->code);
    if (!out->error.empty())
      return std::unexpected(Error{errc_from_name(out->code), out->sys, out->error});
    return out;
  }

  void kill() {
    if (!process_) return;
    static_cast<void>(process_.send_signal(SIGKILL));
    static_cast<void>(process_.wait());
    process_ = {};
  }

 private:
  Helper(Pidfd process, UniqueFd input, UniqueFd outcome)
      : process_(std::move(process)), input_(std::move(input)), outcome_(std::move(outcome)) {}

  Pidfd process_;
  UniqueFd input_;    // the write end of its stdin
  UniqueFd outcome_;  // the read end
};

class InflatedApart final : public ByteSource {
 public:
  InflatedApart(ByteSource& from, Helper helper, UniqueFd output)
      : helper_(std::move(helper)), output_(std::move(output)), feeder_([this, &from] {
          try {
            fed_ = helper_.feed(from);
          } catch (...) {
            fed_ = std::unexpected(detail::error_of(std::current_exception()));
          }
          // With what it has: the source's error is told instead of the helper's.
          if (!fed_) helper_.kill();
        }) {}
  InflatedApart(const InflatedApart&) = delete;
  InflatedApart& operator=(const InflatedApart&) = delete;
  // Nobody reads on: the helper hears it at its next write, and then the feeder.
  ~InflatedApart() override { output_.reset(); }

  Result<std::size_t> read(std::span<char> into) override {
    if (end_) return *end_;
    TRY(const auto n, read_some(output_, into));
    if (n > 0) return n;
    end_ = finish();
    return *end_;
  }

 private:
  Result<std::size_t> finish() {
    feeder_.join();
    CHECK(fed_);
    CHECK(helper_.outcome());
    return std::size_t{0};
  }

  Helper helper_;
  UniqueFd output_;
  Result<> fed_;  // the feeder's until it is joined
  std::optional<Result<std::size_t>> end_;
  std::jthread feeder_;  // last: it uses the others
};

const char* name_of_compression(Compression compression) {
  switch (compression) {
    case Compression::gzip: return "gzip";
    case Compression::zstd: return "zstd";
    default: return "other";
  }
}

}  // namespace

Result<std::unique_ptr<ByteSource>> inflated_apart(ByteSource& from, Compression compression) {
  if (compression == Compression::none) return inflated(from, compression);
  TRY(auto output, make_large_pipe());
  TRY(auto helper, Helper::start({"inflate", name_of_compression(compression)},
                                 {{output.write.get(), STDOUT_FILENO}}));
  return std::make_unique<InflatedApart>(from, std::move(helper), std::move(output.read));
}

Result<Unpacked> unpack_apart(ByteSource& tar, const UniqueFd& root, const UnpackOptions& options) {
  unpacker::Options written{options.one_id, options.layer, options.keep_kinds, options.at, {}, {}};
  if (options.owner) {
    written.uid = options.owner->first;
    written.gid = options.owner->second;
  }
  TRY(auto helper,
      Helper::start({"unpack", json::to_text(written)}, {{root.get(), unpacker::kRoot}}));
  CHECK(helper.feed(tar));
  TRY(const auto outcome, helper.outcome());
  return Unpacked{outcome.bytes, outcome.entries};
}

}  // namespace coracle::storage
