// An engine for the tests of the shim, a fake a face: each answers from what the test has put in,
// and remembers what it was asked. They run on the loop's thread; a test looks at them when its
// answer has come.
#pragma once

#include "engine/engine.hpp"
#include "tests/unit/shim/fake/containers.hpp"
#include "tests/unit/shim/fake/execs.hpp"
#include "tests/unit/shim/fake/files.hpp"
#include "tests/unit/shim/fake/happenings.hpp"
#include "tests/unit/shim/fake/images.hpp"
#include "tests/unit/shim/fake/networks.hpp"
#include "tests/unit/shim/fake/prune.hpp"
#include "tests/unit/shim/fake/streams.hpp"
#include "tests/unit/shim/fake/system.hpp"
#include "tests/unit/shim/fake/usage.hpp"
#include "tests/unit/shim/fake/volumes.hpp"

namespace coracle::test {

class FakeEngine final : public Engine {
 public:
  FakeEngine(asio::io_context& io, Workers& workers)
      : happenings(io),
        streams_(workers, containers_, happenings),
        files_(workers),
        execs_(workers, containers_),
        images_(workers, happenings) {}

  Happenings happenings;

  Coro<void> close() override { co_return; }
  FakeContainers& containers() override { return containers_; }
  FakeStreams& streams() override { return streams_; }
  FakeFiles& files() override { return files_; }
  FakeExecs& execs() override { return execs_; }
  FakeImages& images() override { return images_; }
  FakeVolumes& volumes() override { return volumes_; }
  FakeNetworks& networks() override { return networks_; }
  FakeUsage& usage() override { return usage_; }
  FakePrune& prune() override { return prune_; }
  FakeSystem& system() override { return system_; }

 private:
  FakeContainers containers_{happenings};
  FakeStreams streams_;
  FakeFiles files_;
  FakeExecs execs_;
  FakeImages images_;
  FakeVolumes volumes_;
  FakeNetworks networks_;
  FakeUsage usage_;
  FakePrune prune_;
  FakeSystem system_{happenings};
};

}  // namespace coracle::test
