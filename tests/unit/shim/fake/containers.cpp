#include "tests/unit/shim/fake/containers.hpp"

#include <stdexcept>
#include <utility>

namespace coracle::test {
namespace {

class FakeWaiter final : public Waiter {
 public:
  explicit FakeWaiter(Happenings& happenings)
      : happenings_(happenings), seen_(happenings.count.load()) {}
  Task<WaitResult> result() override {
    CO_CHECK(co_await happenings_.next(seen_));
    WaitResult result;
    result.code = 7;
    co_return result;
  }

 private:
  Happenings& happenings_;
  int seen_;
};

}  // namespace

Task<> FakeContainers::asked(std::string text) {
  last = std::move(text);
  co_return Result<>{};
}

Task<Created> FakeContainers::create(CreateRequest request) {
  created = std::move(request);
  if (created.config.image == "missing")
    co_return fail(Errc::not_found, "No such image: {}", created.config.image);
  co_return Created{std::string(64, 'c'), {"a warning"}};
}

Result<> FakeContainers::list(const ListOptions& options, const ContainerVisitor& visit) const {
  for (const auto& [name, view] : all) {
    if (options.all || view.status == Status::running) visit(view);
  }
  return {};
}

Result<ContainerView> FakeContainers::inspect(const std::string& name) const {
  if (name == "defect") throw std::logic_error("a defect");
  const auto found = all.find(name);
  if (found == all.end()) return fail(Errc::not_found, "No such container: {}", name);
  return found->second;
}

Task<> FakeContainers::start(std::string name) {
  if (start_error) co_return std::unexpected(*start_error);
  co_return co_await asked("start " + name);
}

Task<> FakeContainers::stop(std::string name, StopOptions options) {
  return asked(fmt::format("stop {} {} {}", name, options.timeout_s.value_or(-99), options.signal));
}

Task<> FakeContainers::restart(std::string name, StopOptions options) {
  return asked(fmt::format("restart {} {}", name, options.timeout_s.value_or(-99)));
}

Task<> FakeContainers::kill(std::string name, std::string signal) {
  return asked("kill " + name + " " + signal);
}

Task<> FakeContainers::pause(std::string name) { return asked("pause " + name); }

Task<> FakeContainers::unpause(std::string name) { return asked("unpause " + name); }

Task<std::vector<std::string>> FakeContainers::update(std::string name, ContainerUpdate update) {
  last = "update " + name;
  updated = std::move(update);
  co_return std::vector<std::string>{};
}

Task<> FakeContainers::rename(std::string name, std::string to) {
  return asked("rename " + name + " " + to);
}

Task<> FakeContainers::remove(std::string name, bool force, bool volumes) {
  return asked(fmt::format("remove {} {} {}", name, force, volumes));
}

Task<> FakeContainers::remove_link(std::string name) { return asked("remove link " + name); }

Result<std::unique_ptr<Waiter>> FakeContainers::wait(const std::string& name, WaitCondition) {
  last = "wait " + name;
  waiter_armed = true;
  return std::make_unique<FakeWaiter>(happenings_);
}

}  // namespace coracle::test
