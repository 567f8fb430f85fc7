#include "engine/context.hpp"

#include <utility>

namespace coracle {

void announce(EventLog& events, const Container& container, std::string action,
              std::map<std::string, std::string> attributes, Time at) {
  Event e;
  e.type = "container";
  e.action = std::move(action);
  e.actor_id = container.id();
  e.attributes = container.record.config.labels;
  e.attributes["image"] = container.record.config.image;
  e.attributes["name"] = container.name();
  for (auto& [key, value] : attributes) e.attributes[key] = std::move(value);
  e.time = at;
  events.add(std::move(e));
}

void announce(EventLog& events, std::string type, std::string action, std::string id,
              std::map<std::string, std::string> attributes) {
  Event e{std::move(type), std::move(action), std::move(id), std::move(attributes), Time{}};
  events.add(std::move(e));
}

}  // namespace coracle
