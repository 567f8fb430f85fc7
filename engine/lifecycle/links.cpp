// A legacy link is removed by its name.
#include "engine/base/json.hpp"
#include "engine/lifecycle/lifecycle.hpp"

namespace coracle {

// "web/db": the container's name and the alias.
Task<> Lifecycle::remove_link(std::string name) {
  if (name.starts_with('/')) name.erase(0, 1);
  const auto slash = name.find('/');
  if (slash == std::string::npos)
    co_return fail(Errc::conflict,
                   "Conflict, cannot remove the default link name of the container");
  auto parent = context_.table.find(name.substr(0, slash));
  if (!parent)
    co_return fail(Errc::not_found, "Cannot get parent /{} for link name /{}",
                   name.substr(0, slash), name);
  auto c = *parent;
  const auto lock = co_await c->mutex.lock();
  ContainerRecord record = c->record;
  const auto alias = name.substr(slash + 1);
  const auto gone = std::erase_if(record.host.links,
                                  [&](const auto& link) { return link.ends_with(":" + alias); });
  if (gone == 0) co_return fail(Errc::not_found, "No such link: /{}", name);
  auto job = [store = context_.store, id = c->id(), text = json::to_text(record)] {
    return store.write_record(id, text);
  };
  CO_CHECK(co_await context_.workers.run(std::move(job)));
  c->record.host.links = std::move(record.host.links);
  context_.table.note_links(*c);
  co_return Result<>{};
}

}  // namespace coracle
