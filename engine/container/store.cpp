#include "engine/container/store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "engine/base/failpoint.hpp"
#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/base/room.hpp"
#include "engine/base/tree/trash_dir.hpp"

namespace coracle {
namespace {

constexpr const char* kStaged = "config.json.new";

// Goes when a state or a removal finds the disk full, and comes again when the trash is emptied.
Reserve reserve_of(const std::string& data) { return Reserve(data + "/reserve"); }

}  // namespace

Result<> Store::prepare() const {
  CHECK(make_dirs(data_ + "/containers"));
  CHECK(make_dirs(data_ + "/trash"));
  reserve_of(data_).make();
  return make_dirs(exec_ + "/containers");
}

Result<> Store::write_record(const std::string& id, const std::string& text) const {
  CHECK(make_dirs(bundle(id)));
  return write_file_atomic(file(id, "config.json"), text);
}

Result<> Store::stage_record(const std::string& id, const std::string& text) const {
  CHECK(make_dirs(bundle(id)));
  return write_new_file(file(id, kStaged), text);
}

Result<> Store::publish_record(const std::string& id) const {
  if (::rename(file(id, kStaged).c_str(), file(id, "config.json").c_str()) != 0)
    return sys_error("write {}", file(id, "config.json"));
  return sync_dir(dir(id));
}

Result<> Store::save_state(const std::string& id, const StateRecord& state) const {
  return reserve_of(data_).with([&] {
    return write_file_atomic(file(id, "state.json"), json::to_text(state), 0600,
                             Durability::unsynced);
  });
}

Result<> Store::discard(const std::string& id) const {
  const std::string to = data_ + "/trash/" + id + "." + random_id().substr(0, 8);
  CHECK(reserve_of(data_).with([&]() -> Result<> {
    if (::rename(dir(id).c_str(), to.c_str()) != 0 && errno != ENOENT)
      return sys_error("remove {}", dir(id));
    return {};
  }));
  // It is gone. What lies below the exec root is a socket and a small file; they may stay.
  auto rest = fail_point("container.remove.renamed");
  if (rest) rest = remove_tree(run_dir(id));
  if (!rest) log::warn("container's run folder stays id={} reason={}", id, rest.error().message);
  return {};
}

void Store::empty_trash() const {
  empty_trash_dir(data_ + "/trash");
  reserve_of(data_).make();
}

Result<std::vector<Store::Loaded>> Store::load() const {
  std::vector<Loaded> all;
  TRY(const auto ids, list_dir(data_ + "/containers"));
  for (const auto& id : ids) {
    Loaded one;
    const auto config = read_file(file(id, "config.json"));
    if (!config && config.error().code == Errc::not_found) {
      if (auto gone = discard(id); !gone)
        log::warn("half-made container stays id={} reason={}", id, gone.error().message);
      continue;
    }
    auto record = config ? json::from_text<ContainerRecord>(*config)
                         : Result<ContainerRecord>(std::unexpected(config.error()));
    if (record && record->id != id)
      record = fail(Errc::invalid_argument, "it speaks of container {}", record->id);
    if (!record) {
      one.damage = fmt::format("{}: {}", file(id, "config.json"), record.error().message);
    } else {
      one.record = *std::move(record);
    }
    one.record.id = id;
    const auto text = read_file(file(id, "state.json"));
    auto state = text ? json::from_text<StateRecord>(*text)
                      : Result<StateRecord>(std::unexpected(text.error()));
    // No state.json: created, and never started.
    if (state) {
      one.state = *std::move(state);
    } else if (state.error().code != Errc::not_found && one.damage.empty()) {
      one.damage = fmt::format("{}: {}", file(id, "state.json"), state.error().message);
    }
    if (!one.damage.empty())
      log::error("container damaged id={} reason={} remedy=\"docker rm -f\"", id, one.damage);
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace coracle
