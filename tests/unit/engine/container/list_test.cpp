#include <gtest/gtest.h>

#include "engine/container/list_filter.hpp"

namespace coracle {
namespace {

ContainerView view() {
  ContainerView v;
  v.id = "abcdef";
  v.name = "project-web-1";
  v.status = Status::exited;
  v.exit_code = 3;
  v.config.labels = {{"k", "v"}, {"empty", ""}};
  v.config.exposed_ports["443/tcp"];
  v.ports["80/tcp"] = {{"0.0.0.0", "8080"}};
  MountPoint m;
  m.name = "data";
  m.destination = "/data";
  v.mounts = {m};
  v.endpoints["bridge"].network_id = "feed01";
  return v;
}

struct Case {
  const char* key;
  std::vector<std::string> values;
  bool expected;
};

TEST(List, FiltersSelectAsDockers) {
  const std::vector<Case> cases = {
      {"id", {"abc"}, true},
      {"id", {"bcd"}, false},
      {"name", {"web"}, true},
      {"name", {"^/project-web-1$"}, true},
      {"name", {"^web"}, false},
      {"name", {"[broken"}, false},
      {"name", {"(?i)WEB-\\d$"}, true},
      {"status", {"running", "exited"}, true},
      {"status", {"running"}, false},
      {"exited", {"3"}, true},
      {"exited", {"0"}, false},
      {"label", {"k"}, true},
      {"label", {"k=v", "empty="}, true},
      {"label", {"k=v", "missing"}, false},
      {"publish", {"8080"}, true},
      {"publish", {"8000-8090/tcp"}, true},
      {"publish", {"8080/udp"}, false},
      {"publish", {"80"}, false},
      {"expose", {"80"}, true},
      {"expose", {"443"}, true},
      {"expose", {"80/udp"}, false},
      {"volume", {"data"}, true},
      {"volume", {"/data"}, true},
      {"volume", {"other"}, false},
      {"network", {"bridge"}, true},
      {"network", {"feed"}, true},
      {"network", {"host"}, false},
      {"health", {"none"}, true},
      {"health", {"healthy"}, false},
      {"is-task", {"true"}, false},
      {"is-task", {"false"}, true},
  };
  for (const auto& c : cases) {
    const Filters filters{{c.key, c.values}};
    EXPECT_EQ(ContainerFilter(filters).matches(view()), c.expected) << c.key << "=" << c.values[0];
    EXPECT_TRUE(check_container_filters(filters)) << c.key;
  }
}

TEST(List, UnknownFiltersAndValuesAreRefused) {
  EXPECT_EQ(check_container_filters({{"odd", {"x"}}}).error().message, "invalid filter 'odd'");
  EXPECT_EQ(check_container_filters({{"status", {"odd"}}}).error().message,
            "invalid filter 'status=odd'");
  EXPECT_FALSE(check_container_filters({{"exited", {"x"}}}));
  EXPECT_FALSE(check_container_filters({{"publish", {"x"}}}));
  EXPECT_FALSE(check_container_filters({{"is-task", {"x"}}}));
  EXPECT_EQ(check_container_filters({{"health", {"odd"}}}).error().message,
            "Unrecognised filter value for health: odd");
}

}  // namespace
}  // namespace coracle
