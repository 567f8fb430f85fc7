// `docker commit` and `docker diff`: what a container has made of its image.
#include <unistd.h>

#include <utility>

#include "engine/base/file.hpp"
#include "engine/base/log.hpp"
#include "engine/container/container.hpp"
#include "engine/files/files.hpp"

namespace coracle {
namespace {

std::vector<std::string> items_of(const std::optional<StringList>& list) {
  return list ? list->items : std::vector<std::string>{};
}

// What of a container's configuration an image has too.
storage::ImageConfig image_config(const ContainerConfig& c) {
  storage::ImageConfig out;
  out.user = c.user;
  for (const auto& [port, nothing] : c.exposed_ports) out.exposed_ports[port];
  out.env = c.env;
  out.entrypoint = items_of(c.entrypoint);
  out.cmd = items_of(c.cmd);
  for (const auto& [path, nothing] : c.volumes) out.volumes[path];
  out.working_dir = c.working_dir;
  out.labels = c.labels;
  out.stop_signal = c.stop_signal;
  if (c.healthcheck && !c.healthcheck->test.empty()) {
    const auto& h = *c.healthcheck;
    storage::Healthcheck check;
    check.test = h.test;
    check.interval_ns = h.interval_ns;
    check.timeout_ns = h.timeout_ns;
    check.start_period_ns = h.start_period_ns;
    check.start_interval_ns = h.start_interval_ns;
    check.retries = h.retries;
    out.healthcheck = std::move(check);
  }
  out.shell = items_of(c.shell);
  out.on_build = c.on_build;
  return out;
}

std::string command_line(const ContainerConfig& c) {
  std::string out;
  for (const auto& word : items_of(c.cmd)) out += (out.empty() ? "" : " ") + word;
  return out;
}

Result<> may_be_committed(const Container& c) {
  if (c.status() == Status::removing)
    return fail(Errc::conflict, "You cannot commit container {} which is being removed", c.id());
  if (c.status() == Status::dead)
    return fail(Errc::conflict, "You cannot commit container {} which is Dead", c.id());
  return {};
}

std::string mark_of(const Store& store, const Container& c) {
  return store.run_dir(c.id()) + "/" + kPausedByCommitName;
}

// Whether the container has been paused for it. As at Docker, what cannot be paused is committed as
// it is: most often it is just ending, which its monitor knows before we do.
Task<bool> freeze(const Store& store, Lifecycle& life, ContainerPtr c, bool wanted) {
  if (!wanted || c->status() != Status::running) co_return false;
  const auto mark = mark_of(store, *c);
  CO_CHECK(write_file_atomic(mark, "", 0600, Durability::unsynced));
  const auto paused = co_await life.pause(c);
  if (paused) co_return true;
  ::unlink(mark.c_str());
  if (c->status() == Status::running)
    log::info("not paused for a commit id={} reason={}", c->id(), paused.error().message);
  co_return false;
}

Task<> thaw(const Store& store, Lifecycle& life, ContainerPtr c) {
  if (c->status() == Status::paused) {
    const auto thawed = co_await life.unpause(c);
    if (!thawed)
      log::warn("container stays paused after a commit id={} reason={}", c->id(),
                thawed.error().message);
  }
  ::unlink(mark_of(store, *c).c_str());
  co_return Result<>{};
}

}  // namespace

Task<std::vector<storage::Change>> Files::changes(std::string name) {
  CO_TRY(auto c, context_.table.find(name));
  auto use = c->uses.begin();
  use->pins = false;
  auto work = context_.storage->changes(c->id());
  co_return co_await run_use(context_.io, c->uses, std::move(use), std::move(work));
}

Task<std::string> Files::commit(std::string name, CommitRequest request) {
  storage::CommitOptions options;
  std::string reference;
  if (!request.repo.empty()) {
    CO_TRY(options.tag, storage::parse_tag(request.repo, request.tag));
    reference = options.tag->familiar();
  }
  CO_TRY(auto c, context_.table.find(name));
  CO_CHECK(may_be_committed(*c));
  options.comment = request.comment;
  options.author = request.author;
  options.changes = std::move(request.changes);
  options.created_by = command_line(c->record.config);
  options.defaults = image_config(c->record.config);
  options.config = request.config ? image_config(*request.config) : options.defaults;
  auto freezing = freeze(context_.store, life_, c, request.pause);
  // Whatever becomes of the client, a pause is ended by the one who began it.
  CO_TRY(const bool frozen, co_await context_.awaited("pause for a commit", std::move(freezing)));
  auto use = c->uses.begin();
  use->pins = false;
  auto work = context_.storage->commit(c->id(), std::move(options));
  const auto image = co_await run_use(context_.io, c->uses, std::move(use), std::move(work));
  if (frozen) {
    auto thawing = thaw(context_.store, life_, c);
    CO_CHECK(co_await context_.awaited("end of the pause for a commit", std::move(thawing)));
  }
  if (!image) co_return std::unexpected(image.error());
  if (!reference.empty()) {
    auto attributes = image->config.labels;
    attributes["name"] = reference;
    announce(*context_.events, "image", "tag", image->id, std::move(attributes));
  }
  announce(*context_.events, *c, "commit",
           {{"comment", request.comment}, {"imageID", image->id}, {"imageRef", reference}});
  co_return image->id;
}

}  // namespace coracle
