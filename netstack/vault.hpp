// Our end of the vault (netstack/protocol.hpp): what the keeper holds for our successor.
#pragma once

#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "netstack/protocol.hpp"

namespace coracle::netstack {

struct VaultItem {
  std::string name;
  std::string data;
  std::vector<UniqueFd> fds;
};

class VaultClient {
 public:
  // `socket`  --vault-fd. A keeper that does not read for seconds fails a put; it never hangs us.
  explicit VaultClient(UniqueFd socket);

  //   fds  at most 32
  Result<> put(const std::string& name, const std::string& data, const std::vector<int>& fds);
  Result<> drop(const std::string& name);
  // Everything that our predecessors left. Called once, at the start.
  Result<std::vector<VaultItem>> list();
  // The keeper has gone: until there is another one, put and drop do nothing.
  void abandon() { abandoned_ = true; }
  // Another keeper's vault, which is empty. Nobody watches the old socket any more.
  void adopt(UniqueFd socket);
  [[nodiscard]] const UniqueFd& socket() const { return socket_; }

 private:
  Result<> send(VaultRequest::What what, const std::vector<int>& fds);

  UniqueFd socket_;
  bool abandoned_ = false;
};

}  // namespace coracle::netstack
