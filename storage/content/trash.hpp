// Removal in two steps: a rename into trash/, after which the object is gone for everybody, and the
// unlinking, on a worker, whenever there is time. A kill in between leaves either the object or
// none; what is left in the trash goes at the next start.
#pragma once

#include <memory>
#include <string>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"

namespace coracle::storage {

class Trash {
 public:
  // dir: made if need be; on the file system of what is thrown away.
  Trash(asio::io_context& io, Workers& workers, std::string dir);

  // Moves a file or directory in. Blocking (one rename), from any thread. Something that is not
  // there is fine.   errors: those of rename(2)
  Result<> take(const std::string& path);
  // Starts unlinking what lies in the trash, unless that is going on already. On the loop.
  void empty();
  // The same; and when the disk is nearly full, waits until it is done: the next one who asks for
  // room has it.
  Coro<void> make_room();
  // Waits until what is being unlinked now is gone. False: nothing is.
  Coro<bool> emptied();
  // Stops in the middle of an entry.
  Coro<void> close();

 private:
  Coro<void> run();

  struct Shared;
  Workers& workers_;
  std::string dir_;
  std::shared_ptr<Shared> shared_;
  Scope scope_;
};

}  // namespace coracle::storage
