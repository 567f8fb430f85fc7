// An event.
#pragma once

#include <map>
#include <string>

#include "engine/base/ident.hpp"

namespace coracle {

struct Event {
  std::string type, action, actor_id;
  std::map<std::string, std::string> attributes;
  Time time;
};
void describe(auto& field, Event& e) {
  field("type", e.type)("action", e.action)("actor_id", e.actor_id)("attributes", e.attributes)(
      "time", e.time);
}

}  // namespace coracle
