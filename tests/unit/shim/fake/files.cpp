#include "tests/unit/shim/fake/files.hpp"

#include <memory>
#include <utility>

#include "engine/base/file.hpp"

namespace coracle::test {

Task<PathStat> FakeFiles::stat_path(std::string name, std::string path) {
  co_return fail(Errc::not_found, "Could not find the file {} in container {}", path, name);
}

Task<> FakeFiles::copy_out(std::string name, std::string path, UniqueFd /*to*/,
                           std::function<void(const PathStat&)> /*told*/) {
  co_return fail(Errc::not_found, "Could not find the file {} in container {}", path, name);
}

Task<> FakeFiles::copy_in(std::string /*name*/, std::string /*path*/, CopyInOptions /*options*/,
                          UniqueFd from) {
  if (copy_takes == 0)
    co_return fail(Errc::invalid_argument, "extraction point is not a directory");
  copied.clear();
  auto job = [this, takes = copy_takes,
              fd = std::make_shared<UniqueFd>(std::move(from))]() -> Result<> {
    std::string piece(takes, '\0');
    for (std::size_t got = 0; got < takes;) {
      TRY(const auto n, read_some(*fd, piece));
      if (n == 0) return fail(Errc::invalid_argument, "too short");
      copied.append(piece, 0, n);
      got += n;
    }
    return {};
  };
  co_return co_await workers_.run(std::move(job));
}

Task<std::vector<storage::Change>> FakeFiles::changes(std::string name) {
  co_return fail(Errc::not_found, "No such container: {}", name);
}

Task<> FakeFiles::export_container(std::string name, UniqueFd /*to*/) {
  co_return fail(Errc::not_found, "No such container: {}", name);
}

Task<std::string> FakeFiles::commit(std::string name, CommitRequest /*request*/) {
  co_return fail(Errc::not_found, "No such container: {}", name);
}

}  // namespace coracle::test
