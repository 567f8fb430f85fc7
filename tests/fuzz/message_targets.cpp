// What our processes tell each other, and what we have written to disk ourselves: a container that
// has got hold of one of them, or a disk that was full, must not end the others.
#include <sys/socket.h>

#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"
#include "engine/container/record.hpp"
#include "engine/monitor/protocol.hpp"
#include "engine/rootless/protocol.hpp"
#include "engine/rootless/vault.hpp"
#include "engine/runtime/report.hpp"
#include "netstack/protocol.hpp"
#include "netstack/takeover.hpp"
#include "storage/images/store.hpp"
#include "storage/snapshots/writable_layers.hpp"
#include "storage/volumes/store.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

// What could be read is written so that it can be read again, and stays the same.
template <class... T>
void all_read(std::string_view input) {
  const auto value = json::parse(input);
  if (!value) return;
  const auto one = [&]<class U>(std::type_identity<U> /*tag*/) {
    const auto read = json::from_json<U>(*value);
    if (!read) return;
    const auto text = json::to_text(*read);
    const auto again = json::from_text<U>(text);
    MUST(again.has_value());
    MUST(json::to_text(*again) == text);
  };
  (one(std::type_identity<T>{}), ...);
}

void records(std::string_view input) {
  all_read<ContainerRecord, StateRecord, storage::LayerInfo, storage::ImageRecord,
           storage::VolumeRecord, storage::LayerRecord, Event, rootless::KeeperRecord,
           monitor::Identity, monitor::ExitRecord>(input);
}

void monitor_message(std::string_view input) {
  all_read<monitor::Request, monitor::Answer, runtime::Report>(input);
}

void keeper_message(std::string_view input) {
  all_read<rootless::KeeperRequest, rootless::EnterReply, rootless::Progress,
           rootless::MapsWritten>(input);
}

void netstack_message(std::string_view input) {
  all_read<netstack::Request, netstack::Reply, netstack::Endpoint, netstack::VaultRequest,
           netstack::VaultEntry>(input);
}

// Messages, a line each, from netstack to the keeper's vault.
void vault(std::string_view input) {
  rootless::Vault keeper;
  const auto netstack = keeper.open();
  MUST(netstack.has_value() && set_nonblocking(*netstack, true).has_value());
  std::size_t puts = 0;
  while (!input.empty()) {
    const auto end = std::min(input.find('\n'), input.size());
    if (!send_message(*netstack, std::string(input.substr(0, end)), std::vector<int>{})) break;
    ++puts;
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  for (int i = 0; i < 3; ++i) {
    (void)keeper.serve();
    for (int n = 0; n < 100 && receive_message(*netstack); ++n) {
    }
    if (keeper.wants_to_write()) (void)keeper.flush();
  }
  MUST(keeper.size() <= puts);
}

// What the container's first process says before it becomes the program.
void report(std::string_view input) {
  auto pair = make_socket_pair(SOCK_SEQPACKET);
  MUST(pair.has_value());
  (void)send_message(pair->a, std::string(input), std::vector<int>{});
  pair->a.reset();
  (void)runtime::await_ready(pair->b);
}

}  // namespace

std::vector<Target> message_targets() {
  const std::vector<std::string> record_words{"version",
                                              "id",
                                              "name",
                                              "created",
                                              "image_id",
                                              "config",
                                              "host",
                                              "endpoints",
                                              "mounts",
                                              "status",
                                              "exit_code",
                                              "started_at",
                                              "restart_count",
                                              "endpoint",
                                              "health",
                                              "Log",
                                              "Output",
                                              "Start",
                                              "running",
                                              "exited",
                                              "chain_id",
                                              "diff_id",
                                              "blob",
                                              "size",
                                              "names",
                                              "since",
                                              "volume",
                                              "identity",
                                              "pid",
                                              "start_ticks",
                                              "boot_id",
                                              "monitor",
                                              "init",
                                              "code",
                                              "finished_at",
                                              "HostConfig",
                                              "Mounts",
                                              "type",
                                              "destination",
                                              "2024-01-01T00:00:00.5Z",
                                              "0001-01-01T00:00:00Z",
                                              "Healthcheck",
                                              "Interval",
                                              "PortBindings",
                                              "HostPort",
                                              "Type",
                                              "Action",
                                              "Actor"};
  const std::vector<std::string> monitor_words{"op",          "seq",
                                               "create",      "exec",
                                               "attach",      "exec_id",
                                               "signal",      "all",
                                               "size",        "height",
                                               "width",       "n",
                                               "re",          "error",
                                               "event",       "bundle",
                                               "run_dir",     "log",
                                               "driver",      "max_size",
                                               "attrs",       "root",
                                               "joined",      "pid",
                                               "detach_keys", "leftover_base64",
                                               "process",     "ready",
                                               "hello",       "start",
                                               "resize",      "ack",
                                               "exit",        "execs",
                                               "note",        "version"};
  const std::vector<std::string> netstack_words{"op",       "seq",          "attach",
                                                "detach",   "list",         "keep",
                                                "hello",    "container_id", "container_ids",
                                                "ports",    "proto",        "container_port",
                                                "host_ip",  "host_port",    "host_port_end",
                                                "address",  "mac",          "network",
                                                "endpoint", "endpoints",    "bridge",
                                                "subnet",   "mtu",          "name",
                                                "data",     "put",          "drop",
                                                "end",      "prefix_len",   "tcp",
                                                "udp",      "0.0.0.0",      "::"};
  return {
      {.name = "records",
       .run = records,
       .dictionary = record_words,
       .mutate = json_mutator(record_words),
       .inputs = 3'000},
      {.name = "monitor_message",
       .run = monitor_message,
       .dictionary = monitor_words,
       .mutate = json_mutator(monitor_words),
       .inputs = 12'000},
      {.name = "keeper_message",
       .run = keeper_message,
       .dictionary = {"op", "enter", "version", "one_id", "warnings", "error", "stage", "step",
                      "sys", "message"},
       .mutate = json_mutator(
           {"op", "version", "one_id", "warnings", "error", "stage", "step", "sys", "message"}),
       .largest = 1024,
       .inputs = 20'000},
      {.name = "netstack_message",
       .run = netstack_message,
       .dictionary = netstack_words,
       .mutate = json_mutator(netstack_words),
       .inputs = 8'000},
      {.name = "vault",
       .run = vault,
       .dictionary = {"{\"op\":\"put\",\"name\":\"a\",\"data\":\"x\"}\n",
                      "{\"op\":\"drop\",\"name\":\"a\"}\n", "{\"op\":\"list\"}\n", "\n", "name",
                      "data"},
       .largest = 2048,
       .inputs = 10'000},
      {.name = "report",
       .run = report,
       .dictionary = {"event", "ready", "error", "code", "not_found", "sys", "message", "T", "M"},
       .mutate = json_mutator({"event", "ready", "error", "code", "not_found", "sys", "message"}),
       .largest = 1024,
       .inputs = 20'000},
  };
}

}  // namespace coracle::fuzz
