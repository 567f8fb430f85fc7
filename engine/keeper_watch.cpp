#include "engine/keeper_watch.hpp"

#include <unistd.h>

#include <array>
#include <optional>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"

namespace coracle {
namespace {

constexpr const char* kTrouble =
    "coracle-keeper was killed: containers run on, but the network is not started again when it "
    "ends, and they lose it when coracled is restarted; restart coracled, then the containers";

// What is of interest here of keeper.json (engine/rootless/protocol.hpp).
struct KeeperFile {
  ProcessIdentity identity;
};
void describe(auto& field, KeeperFile& k) { field("identity", k.identity); }

std::optional<KeeperFile> read_keeper(const std::string& exec_root) {
  const auto text = read_file(exec_root + "/keeper.json");
  if (!text) return std::nullopt;
  auto keeper = json::from_text<KeeperFile>(*text);
  if (!keeper || keeper->identity.pid == 0) return std::nullopt;
  return *std::move(keeper);
}

std::string user_namespace(const std::string& process) {
  std::array<char, 64> text{};
  const auto n = ::readlink(("/proc/" + process + "/ns/user").c_str(), text.data(), text.size());
  return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : std::string();
}

}  // namespace

std::string keeper_trouble(const std::string& exec_root) {
  const auto keeper = read_keeper(exec_root);
  if (!keeper) return "";  // there never was one: the engine runs without (tests)
  const auto process = Pidfd::open(keeper->identity);
  return process && !process->ended() ? "" : kTrouble;
}

Coro<void> watch_keeper(asio::io_context& io, std::string exec_root) {
  const auto keeper = read_keeper(exec_root);
  if (!keeper) co_return;
  auto process = Pidfd::open(keeper->identity);
  if (process) {
    const auto ended = co_await wait_readable(io, process->fd());
    if (!ended) co_return;  // we end first
  }
  log::error("{}", kTrouble);
}

bool of_another_keeper(const ProcessIdentity& who) {
  // One that may not be asked is outside of our namespace: inside we may all.
  return user_namespace(std::to_string(who.pid)) != user_namespace("self");
}

}  // namespace coracle
