// Networks, and netstack that carries them out. So far the predefined ones: bridge, host, none. Their
// ids are made once and kept in data_root/networks.json, since clients compare them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/context.hpp"
#include "engine/face/networks.hpp"
#include "netstack/client.hpp"

namespace coracle {

// The driver of a network that is always there.
std::string driver_of(const std::string& network);

class Networks final : public face::Networks {
 public:
  explicit Networks(Context& context);

  // Reads the ids, or makes them.
  Result<> open();
  [[nodiscard]] Result<std::vector<NetworkView>> list(const Filters& filters) const override;
  [[nodiscard]] Result<NetworkView> find(const std::string& ref) const override;
  // By name.
  [[nodiscard]] const std::map<std::string, std::string>& ids() const { return ids_; }
  // Of the network bridge; "" until netstack has told it.
  [[nodiscard]] const std::string& gateway() const { return bridge_.gateway; }

  //   errors  as netstack::Client has them
  Task<netstack::Attachment> attach(netstack::AttachRequest request) {
    return netstack_.attach(std::move(request));
  }
  // The endpoint of a container that is attached, or is about to be.
  NetworkLease lease(std::string container_id) {
    return {netstack_, context_.scope, std::move(container_id)};
  }

  // Until the endpoints of containers that are gone have been given up, and those of running ones
  // restored: only then new ones may be attached. Returns at once when the daemon ends.
  Coro<void> wait_until_ready();
  // While one of them lives, nobody is attached.
  class HeldBack {
   public:
    explicit HeldBack(Networks& networks) : networks_(networks) { networks_.is_ready_ = false; }
    HeldBack(const HeldBack&) = delete;
    HeldBack& operator=(const HeldBack&) = delete;
    ~HeldBack() { networks_.become_ready(); }

   private:
    Networks& networks_;
  };

  // At the daemon's start: endpoints that were lost are restored, those of containers that ended
  // meanwhile given up, and the bridge is asked how it looks. Beside everything else: netstack may
  // be starting itself.
  Coro<void> reconcile();
  // After a netstack that left nothing to its successor (it was killed together with its keeper,
  // which holds what a netstack knows): gives it back every endpoint of a running container that it
  // does not know: the address, the host's ports, the namespace. What cannot be had any more is told
  // by the log and State.Error. Returns when all is done, or netstack does not answer.
  Coro<void> restore();
  // A start that was under way then may have been given what is another's: an address or a port of
  // a container that runs, and that netstack did not know yet.
  [[nodiscard]] bool belongs_to_another(const std::string& container_id,
                                        const netstack::Endpoint& given) const;
  // Gives that back, and attaches once more when the others have theirs.
  Task<netstack::Attachment> attach_again(netstack::AttachRequest request);

  // The daemon ends: who waits goes on.
  void stop_waiting() { ready_.notify_all(); }
  void close() { netstack_.close(); }

 private:
  void become_ready();
  [[nodiscard]] NetworkView view_of(const std::string& name) const;
  void add_members(NetworkView& network) const;
  // restore.cpp
  [[nodiscard]] std::vector<ContainerPtr> unknown_ones(
      const std::vector<netstack::Endpoint>& known) const;
  Task<netstack::Endpoint> restore_one(ContainerPtr c);

  Context& context_;
  netstack::Client netstack_;
  netstack::BridgeInfo bridge_;
  std::map<std::string, std::string> ids_;
  Time created_;
  bool is_ready_ = false;
  Signal ready_;
};

}  // namespace coracle
