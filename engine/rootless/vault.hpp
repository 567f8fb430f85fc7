// The keeper's side of the vault (netstack/protocol.hpp): what netstack wants its successor to
// have. Names and data mean nothing here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/result.hpp"

namespace coracle::rootless {

class Vault {
 public:
  // Our end for the next netstack; the other end is answered. An unfinished list is forgotten.
  Result<UniqueFd> open();
  // Carries out every request that is there. Called when the socket is readable, and once more when
  // netstack has ended (a put counts from the moment it was sent).
  //   errors  not_found: netstack has closed its end
  Result<> serve();
  // Goes on with a list that the socket's buffer had held up. Called when the socket is writable.
  Result<> flush();
  void close() { socket_.reset(); }

  [[nodiscard]] const UniqueFd& socket() const { return socket_; }
  [[nodiscard]] bool wants_to_write() const { return lists_ > 0; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::uint64_t order = 0;  // of the first put
    std::string name;
    std::string data;
    std::vector<UniqueFd> fds;
  };
  Result<> carry_out(Message message);

  UniqueFd socket_;
  std::vector<Entry> entries_;  // by order
  std::uint64_t next_order_ = 1;
  std::uint64_t sent_up_to_ = 0;  // of the list that is being sent
  std::uint32_t lists_ = 0;       // asked for and not yet sent to the end
};

}  // namespace coracle::rootless
