// A container's place in the network. Dropping it detaches; a daemon that stops disowns it.
#pragma once

#include <string>
#include <utility>

#include "engine/base/async/async.hpp"
#include "netstack/client.hpp"

namespace coracle {

class NetworkLease {
 public:
  NetworkLease() = default;
  NetworkLease(netstack::Client& client, Scope& scope, std::string container_id)
      : client_(&client), scope_(&scope), id_(std::move(container_id)) {}
  NetworkLease(NetworkLease&& other) noexcept
      : client_(std::exchange(other.client_, nullptr)),
        scope_(other.scope_),
        id_(std::move(other.id_)) {}
  NetworkLease& operator=(NetworkLease&& other) noexcept;
  NetworkLease(const NetworkLease&) = delete;
  NetworkLease& operator=(const NetworkLease&) = delete;
  ~NetworkLease() { drop(); }

  // The endpoint stays, and belongs to nobody here any more.
  void disown() { client_ = nullptr; }
  // Detaches, and answers when it is done.
  Task<> release();

 private:
  void drop();
  netstack::Client* client_ = nullptr;
  Scope* scope_ = nullptr;
  std::string id_;
};

}  // namespace coracle
