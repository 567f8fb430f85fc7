#include "tests/unit/shim/fake/system.hpp"

#include <optional>
#include <utility>

namespace coracle::test {
namespace {

class FakeEvents final : public EventStream {
 public:
  explicit FakeEvents(Happenings& happenings) : open_(happenings) {}
  Task<std::optional<Event>> next() override {
    if (!std::exchange(first_, false)) {
      CO_CHECK(co_await open_.next_happening());
      co_return std::optional<Event>();
    }
    Event e;
    e.type = "container";
    e.action = "start";
    e.actor_id = "abc";
    e.attributes = {{"image", "busybox"}, {"name", "web"}};
    e.time = Time{1'700'000'000'123'456'789};
    co_return std::optional<Event>(std::move(e));
  }

 private:
  OpenStream open_;
  bool first_ = true;
};

}  // namespace

SystemInfo FakeSystem::info() const {
  SystemInfo i;
  i.id = "an-id";
  i.name = "host";
  i.architecture = "x86_64";
  i.kernel_version = "6.1";
  i.cpus = 2;
  i.memory = std::int64_t{4} << 30;
  i.driver = "overlay";
  i.mirrors = {"https://one.example", "https://two.example/"};
  i.security_options = {"name=seccomp,profile=builtin", "name=rootless"};
  i.warnings = {"WARNING: No cpuset support"};
  return i;
}

Task<std::vector<std::string>> FakeSystem::cdi_devices() {
  co_return std::vector<std::string>{"example.org/net=tap"};
}

Result<std::unique_ptr<EventStream>> FakeSystem::events(Time, Time, Filters filters) {
  last_filters = std::move(filters);
  return std::make_unique<FakeEvents>(happenings_);
}

}  // namespace coracle::test
