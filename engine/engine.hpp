// The engine: opened and closed here, asked through its faces (engine/face, a header a noun).
// Docker's semantics in our own types; errors carry Docker's texts where clients read them.
#pragma once

#include <memory>

#include "engine/base/async/async.hpp"
#include "engine/face/config.hpp"

namespace coracle {

namespace face {
class Containers;
class Streams;
class Files;
class Execs;
class Images;
class Volumes;
class Networks;
class Usage;
class Prune;
class System;
}  // namespace face

class Engine {
 public:
  // Opens the stores, finds the containers that run, reconciles what happened meanwhile, and is
  // ready.
  static Task<std::unique_ptr<Engine>> open(asio::io_context& io, Workers& workers,
                                            EngineConfig config);
  virtual ~Engine() = default;
  // Lets go of monitors and netstack without stopping any container.
  virtual Coro<void> close() = 0;

  virtual face::Containers& containers() = 0;
  virtual face::Streams& streams() = 0;
  virtual face::Files& files() = 0;
  virtual face::Execs& execs() = 0;
  virtual face::Images& images() = 0;
  virtual face::Volumes& volumes() = 0;
  virtual face::Networks& networks() = 0;
  virtual face::Usage& usage() = 0;
  virtual face::Prune& prune() = 0;
  virtual face::System& system() = 0;
};

}  // namespace coracle
