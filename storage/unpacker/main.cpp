// coracle-unpack: storage/unpacker/protocol tells what it is asked and what it answers.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/json.hpp"
#include "engine/base/process/process.hpp"
#include "storage/content/byte_source.hpp"
#include "storage/unpacker/protocol.hpp"
#include "storage/unpacker/sandbox.hpp"

namespace coracle::storage::unpacker {
namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10;

Result<Outcome> inflate(std::string_view name) {
  CHECK(confine_inflating());
  const UniqueFd in(STDIN_FILENO);
  const UniqueFd out(STDOUT_FILENO);
  FdSource source(in);
  const auto compression = name == "gzip"   ? Compression::gzip
                           : name == "zstd" ? Compression::zstd
                                            : Compression::other;
  TRY(const auto plain, inflated(source, compression));
  std::vector<char> piece(kPiece);
  for (;;) {
    TRY(const auto n, plain->read(piece));
    if (n == 0) break;
    CHECK(write_all(out, {piece.data(), n}));
  }
  CHECK(drain(source));  // padding behind compressed data
  return Outcome{};
}

Result<Outcome> unpack_into_root(std::string_view text) {
  TRY(const auto written, json::from_text<Options>(text));
  const UniqueFd in(STDIN_FILENO);
  const UniqueFd root(kRoot);
  CHECK(confine_unpacking(root));
  UnpackOptions options;
  options.one_id = written.one_id;
  options.layer = written.layer;
  options.keep_kinds = written.keep_kinds;
  options.at = written.at;
  if (written.uid && written.gid)
    options.owner = {static_cast<std::uint32_t>(*written.uid),
                     static_cast<std::uint32_t>(*written.gid)};
  FdSource source(in);
  TRY(const auto unpacked, unpack(source, root, std::move(options)));
  CHECK(drain(source));  // so that the sender sees no broken pipe
  Outcome outcome;
  outcome.bytes = unpacked.bytes;
  outcome.entries = unpacked.entries;
  return outcome;
}

int run(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv, argv + argc);
  if (arguments.size() != 3 || (arguments[1] != "inflate" && arguments[1] != "unpack")) {
    std::fputs("coracle-unpack is started by coracled\n", stderr);
    return 2;
  }
  ignore_sigpipe();
  const UniqueFd to(kOutcome);
  auto outcome = arguments[1] == "inflate" ? inflate(arguments[2]) : unpack_into_root(arguments[2]);
  Outcome told;
  if (outcome) {
    told = *std::move(outcome);
  } else {
    told.error = outcome.error().message.empty() ? "failed" : outcome.error().message;
    told.code = name_of(outcome.error().code);
    told.sys = outcome.error().sys;
  }
  return write_all(to, json::to_text(told)) ? 0 : 1;
}

}  // namespace
}  // namespace coracle::storage::unpacker

int main(int argc, char** argv) {
  try {
    return coracle::storage::unpacker::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "coracle-unpack: %s\n", e.what());
  } catch (...) {
    std::fputs("coracle-unpack: an exception\n", stderr);
  }
  return 1;
}
