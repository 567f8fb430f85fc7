// The engine's end of coracle-netstack.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "netstack/protocol.hpp"

namespace coracle::netstack {

struct Attachment {
  Endpoint endpoint;
  UniqueFd netns;  // the container's network namespace
};

// One connection, made again when it broke (netstack is restarted by the keeper): a request that
// was cut off is sent once more, all requests being idempotent.
class Client {
 public:
  // Connects at the first use.   socket  path of netstack.sock
  Client(asio::io_context& io, std::string socket);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  //   errors  conflict with Docker's text when a port is taken: "Bind for 0.0.0.0:8080 failed: port
  //           is already allocated"; forbidden for a port below ip_unprivileged_port_start, with the
  //           remedy; unavailable when netstack does not answer within 5 s
  Task<Attachment> attach(AttachRequest request);
  Task<> detach(std::string container_id);
  Task<std::vector<Endpoint>> list();
  Task<> keep(std::vector<std::string> container_ids);
  Task<BridgeInfo> bridge();

  // Fails what is pending and closes the connection.
  void close();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace coracle::netstack
