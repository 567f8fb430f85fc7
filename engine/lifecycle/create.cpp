// create: what was asked for, merged with the image and decided to the last default, becomes a
// record; then volumes, the writable layer and the record's file are made, and undone together when
// one fails.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "engine/base/async/future.hpp"
#include "engine/base/failpoint.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/bundle/mount_sources.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/request/plan.hpp"
#include "storage/images/platform.hpp"

namespace coracle {
namespace {

Result<> check_platform(const std::string& text, const storage::Image& image,
                        const std::string& ref) {
  if (text.empty()) return {};
  TRY(const auto wanted, storage::parse_platform(text));
  return storage::check_platform(image, ref, wanted);
}

const MountRequest* request_of(const ContainerRecord& record, const MountRecord& mount) {
  for (const auto& m : record.host.mounts) {
    if (m.type == "volume" && clean_path(m.target) == mount.destination) return &m;
  }
  return nullptr;
}

}  // namespace

PlanWorld Lifecycle::world(const storage::Image& image) const {
  PlanWorld world;
  world.id = random_id();
  world.now = now();
  world.image = &image;
  world.network_ids = &networks_.ids();
  world.log = &context_.config.log;
  world.defaults = context_.config.defaults;
  world.host_name = context_.host.name;
  world.data_root = context_.config.data_root;
  world.cpus = context_.host.cpus;
  world.seccomp = context_.host.seccomp;
  world.hard_limits = context_.host.hard_limits;
  world.selinux = ::access("/sys/fs/selinux/enforce", F_OK) == 0;
  world.container = [this](const std::string& ref) -> Result<const ContainerRecord*> {
    TRY(const auto c, context_.table.find(ref));
    return &c->record;
  };
  world.image_named = [this](const std::string& name) { return context_.storage->find(name); };
  return world;
}

Task<> Lifecycle::make_volumes(ContainerPtr c, storage::Image image,
                               std::vector<std::string>& made) {
  for (auto& m : c->record.mounts) {
    if (m.type != MountType::volume || (!m.name.empty() && m.anonymous)) continue;
    std::string driver = c->record.host.volume_driver;
    std::map<std::string, std::string> labels, options;
    if (const auto* request = request_of(c->record, m); request != nullptr && request->volume) {
      labels = request->volume->labels;
      if (const auto& asked = request->volume->driver_config) {
        driver = asked->name;
        options = asked->options;
      }
    }
    auto volume = co_await volumes_.make(m.name, driver, options, labels);
    CO_CHECK(volume);
    m.name = volume->volume.name;
    m.source = volume->volume.mountpoint;
    if (volume->is_new) made.push_back(m.name);
    if (m.no_copy) continue;
    storage::VolumeFill fill;
    fill.name = m.name;
    fill.subpath = m.subpath;
    fill.image_id = image.id;
    fill.path = m.destination;
    fill.in_use = volumes_.is_mounted(m.name);
    auto filled = co_await context_.storage->fill_volume(std::move(fill));
    if (!filled && filled.error().code == Errc::not_found)
      co_return std::unexpected(filled.error().as(Errc::invalid_argument));
    CO_CHECK(filled);
  }
  co_return Result<>{};
}

Task<> Lifecycle::make(ContainerPtr c, storage::Image image,
                       std::vector<std::string>& made_volumes) {
  Future<> layer(context_.io, context_.scope, "create layer",
                 context_.storage->create_layer(c->id(), image.id));
  auto volumes = co_await make_volumes(c, image, made_volumes);
  for (std::size_t i = 0; volumes && i < c->record.mounts.size(); ++i) {
    const MountRecord m = c->record.mounts[i];
    if (!m.layer.empty()) volumes = co_await context_.storage->create_layer(m.layer, m.image_id);
  }
  Result<> written;
  if (volumes) {
    auto job = [store = context_.store, id = c->id(), text = json::to_text(c->record)] {
      return store.stage_record(id, text);
    };
    written = co_await context_.workers.run(std::move(job));
  }
  auto layered = co_await layer.get();
  CO_CHECK(volumes);
  CO_CHECK(layered);
  CO_CHECK(written);
  // Last: whoever is killed before leaves a half-made one, which the next start takes away. The
  // names are synced beside each other, which a journal takes in one step.
  std::vector<std::string> layers{c->id()};
  for (const auto& m : c->record.mounts)
    if (!m.layer.empty()) layers.push_back(m.layer);
  auto sync = [storage = context_.storage.get(), layers = std::move(layers)] {
    return storage->sync_layers(layers);
  };
  Future<> synced(context_.io, context_.scope, "sync layers",
                  context_.workers.run(std::move(sync)));
  auto publish = [store = context_.store, id = c->id()] { return store.publish_record(id); };
  auto published = co_await context_.workers.run(std::move(publish));
  CO_CHECK(co_await synced.get());
  CO_CHECK(published);
  co_return fail_point("container.create.written");
}

Task<Created> Lifecycle::create(CreateRequest request) {
  if (request.name.starts_with('/')) request.name.erase(0, 1);
  if (!request.name.empty()) CO_CHECK(check_container_name(request.name));
  if (request.config.image.empty())
    co_return fail(Errc::invalid_argument, "no image specified: the field Image is empty");
  CO_TRY(auto image, context_.storage->find(request.config.image));
  CO_CHECK(check_platform(request.platform, image, request.config.image));
  Created answer;
  auto c = std::make_shared<Container>(context_.io);
  CO_TRY(auto planned, plan_container(request, world(image)));
  CO_CHECK(check_bind_sources(context_.config, planned.record.mounts));
  c->record = std::move(planned.record);
  answer.warnings = std::move(planned.warnings);
  answer.id = c->id();
  if (request.name.empty()) {
    c->record.name = context_.table.take_random_name(c->id());
  } else {
    CO_CHECK(context_.table.take_name(request.name, c->id()));
    c->record.name = request.name;
  }
  Volumes::Claims claims(volumes_, c->id());
  for (const auto& m : c->record.mounts) {
    if (m.type == MountType::volume && !m.name.empty()) claims.add(m.name);
  }
  std::vector<std::string> made_volumes;
  auto made = co_await make(c, std::move(image), made_volumes);
  if (!made) {
    context_.table.free_name(c->name(), c->id());
    (void)context_.store.discard(c->id());
    (void)co_await context_.storage->remove_layer(c->id());
    for (std::size_t i = 0; i < c->record.mounts.size(); ++i)
      (void)co_await context_.storage->remove_layer(c->record.mounts[i].layer);
    for (const auto& name : made_volumes) (void)co_await volumes_.discard(name, c->id());
    context_.scope.start("empty trash", empty_trash());
    // A volume's driver that is not there is told as Docker tells it.
    if (made.error().code == Errc::not_found) co_return std::unexpected(made.error());
    co_return std::unexpected(made.error().within("create {}", c->name()));
  }
  context_.table.add(c);
  announce(*context_.events, *c, "create");
  co_return answer;
}

}  // namespace coracle
