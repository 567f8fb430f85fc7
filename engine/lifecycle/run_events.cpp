#include "engine/lifecycle/run_events.hpp"

namespace coracle {
namespace {

void announce_network(EventLog& events, const Networks& networks, const Container& c,
                      const char* action) {
  const auto& mode = c.record.host.network_mode;
  const auto id = networks.ids().find(mode);
  if (id == networks.ids().end()) return;  // another container's
  announce(events, "network", action, id->second,
           {{"container", c.id()}, {"name", mode}, {"type", driver_of(mode)}});
}

}  // namespace

void announce_joined(EventLog& events, const Networks& networks, const Container& c) {
  announce_network(events, networks, c, "connect");
  for (const auto& m : c.record.mounts) {
    if (m.type != MountType::volume) continue;
    announce(events, "volume", "mount", m.name,
             {{"driver", "local"},
              {"container", c.id()},
              {"destination", m.destination},
              {"read/write", m.rw ? "true" : "false"},
              {"propagation", m.propagation}});
  }
}

void announce_left(EventLog& events, const Networks& networks, const Container& c) {
  announce_network(events, networks, c, "disconnect");
  for (const auto& m : c.record.mounts) {
    if (m.type != MountType::volume) continue;
    announce(events, "volume", "unmount", m.name, {{"driver", "local"}, {"container", c.id()}});
  }
}

}  // namespace coracle
