// The endpoint table: which container has which namespace, address and published ports.
//
// attach, step by step:
//   1. the address is taken and the host's ports are bound: what can be refused is refused first
//   2. a namespace comes from the pool
//   3. a worker gives its eth0 the MAC, the address and the route, and lets it speak on the bridge
//   4. the container becomes a tenant (netstack/base/shares.hpp), the ports are served, the keeper
//      is given everything for our successor, the caller his answer
// A second attach of the same container finds the endpoint, or waits for the first.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "netstack/address_pool.hpp"
#include "netstack/bridge/namespaces.hpp"
#include "netstack/bridge/source_guard.hpp"
#include "netstack/relay/port_forward.hpp"
#include "netstack/vault.hpp"

namespace coracle::netstack {

// The error, or the endpoint and its namespace (borrowed).
struct Attached {
  const Endpoint* endpoint = nullptr;
  int netns = -1;
};
using OnAttached = std::function<void(Result<Attached>)>;

class Endpoints {
 public:
  //   worker  configures namespaces; may wait for the kernel
  //   guard   used on the worker only; none: nobody checks who speaks
  Endpoints(ForwardContext& forward, NamespacePool& namespaces, Worker& worker,
            std::optional<SourceGuard> guard, VaultClient& vault);
  ~Endpoints();

  void attach(AttachRequest request, OnAttached done);
  // Takes back a container that runs, with what it had (netstack/takeover.hpp).
  //   errors  conflict: its address or one of its ports is another's
  void take_back(const Endpoint& had, UniqueFd netns, OnAttached done);
  void detach(const std::string& container_id);
  void keep(const std::vector<std::string>& container_ids);
  [[nodiscard]] std::vector<Endpoint> list() const;

  // Puts all of them into the vault: another keeper's.
  Result<> remember_all();
  // Takes over what a predecessor left with the keeper; what cannot be used is dropped and logged.
  void restore(std::vector<VaultItem> items);

 private:
  struct Record;
  struct Joining;
  void configure(std::shared_ptr<Joining> joining, Result<ReadyNamespace> made);
  void finish(std::shared_ptr<Joining> joining, Result<> configured);
  Result<> serve_all(Record& record, std::vector<BoundPort> bound);
  Result<> remember(const Record& record);
  void forget(const Record& record);
  void fail_all(const std::shared_ptr<Joining>& joining, const Error& error);
  void release_address(const Endpoint& endpoint);
  void let_speak_again(const std::shared_ptr<Record>& record);
  void silence(const std::shared_ptr<Record>& record);
  // On the worker.
  Result<> configure_on_worker(Joining& joining);
  Result<> plug_in_on_worker(Joining& joining);
  Result<> let_speak(Record& record, int port);
  [[nodiscard]] bool taken(const std::string& proto, const std::string& ip,
                           std::uint16_t port) const;
  void restore_ports(VaultItem& item, const std::string& container_id);

  ForwardContext& forward_;
  NamespacePool& namespaces_;
  Worker& worker_;
  VaultClient& vault_;
  AddressPool addresses_;
  std::optional<SourceGuard> guard_;
  std::map<std::string, std::shared_ptr<Record>> records_;
  std::map<std::string, std::shared_ptr<Joining>> joining_;
};

}  // namespace coracle::netstack
