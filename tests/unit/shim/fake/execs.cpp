#include "tests/unit/shim/fake/execs.hpp"

#include <utility>

#include "tests/unit/shim/fake/streams.hpp"

namespace coracle::test {

Task<std::string> FakeExecs::create(std::string container, ExecRequest request) {
  CO_CHECK(containers_.inspect(container));
  co_return "exec-" + request.cmd.items.front();
}

Result<ExecView> FakeExecs::check_start(const std::string& id) const { return inspect(id); }

Task<> FakeExecs::start_attached(std::string, ExecStart started, UniqueFd client,
                                 std::string leftover) {
  how = std::move(started);
  return echo(workers_, std::move(client), std::move(leftover));
}

Task<> FakeExecs::start_detached(std::string id) {
  last = "exec " + id;
  co_return Result<>{};
}

Task<> FakeExecs::resize(std::string id, std::uint16_t height, std::uint16_t width) {
  last = fmt::format("exec resize {} {} {}", id, height, width);
  co_return Result<>{};
}

Result<ExecView> FakeExecs::inspect(const std::string& id) const {
  if (id != "exec-ls") return fail(Errc::not_found, "No such exec instance: {}", id);
  ExecView v;
  v.id = id;
  v.container_id = "abc";
  v.request.cmd.items = {"ls", "-l"};
  return v;
}

}  // namespace coracle::test
