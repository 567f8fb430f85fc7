#include <time.h>

#include <gtest/gtest.h>

#include "engine/inspect/list_filter.hpp"

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

// A list of expressions that never end, or run out of stack, in matchers that go back.
std::vector<std::string> bad_patterns() {
  std::vector<std::string> out{"(a*)*b",
                               "(a+)+$b",
                               "(a|a)*b",
                               "(a|aa)+$c",
                               "(.*)*c",
                               "((a*)*)*b",
                               "(a*)*(a*)*b",
                               "(a?){40}a{40}b",
                               "(a{1,50}){1,15}b",
                               "(x+x+)+y",
                               "^(a+)*$c",
                               "(.*a){20}b",
                               "[a-z]*[a-z]*[a-z]*[a-z]*!",
                               "(a*a*a*)*c",
                               "(((a+)+)+)+b"};
  out.push_back(std::string(300, '(') + "a" + std::string(300, ')') + "b");
  std::string optional;
  for (int i = 0; i < 300; ++i) optional += "a?";
  out.push_back(optional + "b");
  std::string any;
  for (int i = 0; i < 200; ++i) any += "a*";
  out.push_back(any + "b");
  out.push_back("(a|b|c|d|e|f|g)*h");
  out.push_back("a" + std::string(900, '+') + "b");
  return out;
}

double cpu_ms() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

TEST(List, APatternTakesNoLongerThanItsTextIsLong) {
  ASSERT_EQ(bad_patterns().size(), 20U);
  auto v = view();
  v.name = std::string(250, 'a');
  const double begin = cpu_ms();
  for (const auto& pattern : bad_patterns()) {
    const Filters filters{{"name", {pattern}}};
    if (!check_container_filters(filters)) continue;
    EXPECT_FALSE(ContainerFilter(filters).matches(v)) << pattern;
  }
  // It was for ever.
  EXPECT_LT(cpu_ms() - begin, 500);  // a few, on a quick machine
}

TEST(List, PatternsAreDockers) {
  const std::vector<std::pair<const char*, bool>> cases = {
      {"(?i)WEB", true},       {"(?s:web)", true},   {"\\Aproject", true},
      {"web-1\\z", true},      {"\\bweb\\b", true},  {"[[:alpha:]]+-web", true},
      {"\\pL+-web", true},     {"(?P<n>w)eb", true}, {"w\\Qeb-\\E1", true},
      {"x{0}web", true},       {"(web)\\1", false},  {"(?=web)", false},  // not Go's
      {"project-web-1", true}, {"*", false},         {"", true},
      {"web{1001}", false},
  };
  for (const auto& [pattern, expected] : cases) {
    const Filters filters{{"name", {pattern}}};
    EXPECT_EQ(ContainerFilter(filters).matches(view()), expected) << pattern;
  }
}

TEST(List, APatternThatIsNoneSelectsItsOwnText) {
  auto v = view();
  for (const std::string name : {"[broken", "a(", "*"}) {
    v.name = name;
    const Filters filters{{"name", {name}}};
    EXPECT_TRUE(ContainerFilter(filters).matches(v)) << name;
    v.name += "-2";
    EXPECT_FALSE(ContainerFilter(filters).matches(v)) << name;
  }
}

TEST(List, PatternsAreBounded) {
  EXPECT_TRUE(check_container_filters({{"name", {std::string(kLongestPattern, 'a')}}}));
  EXPECT_FALSE(check_container_filters({{"name", {std::string(kLongestPattern + 1, 'a')}}}));
  EXPECT_TRUE(check_container_filters({{"name", std::vector<std::string>(kMostPatterns, "web")}}));
  EXPECT_FALSE(
      check_container_filters({{"name", std::vector<std::string>(kMostPatterns + 1, "web")}}));
  EXPECT_FALSE(check_container_filters(
      {{"name", std::vector<std::string>(kMostPatterns, "([a-z]{10}[0-9]{10}){15}")}}));
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
