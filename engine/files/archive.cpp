// `docker cp` and `docker export`: archives into and out of a container's file system.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>
#include <vector>

#include "engine/base/async/own_thread.hpp"
#include "engine/base/file.hpp"
#include "engine/base/path.hpp"
#include "engine/bundle/spec_input.hpp"
#include "engine/container/container.hpp"
#include "engine/files/files.hpp"
#include "engine/files/root_view.hpp"
#include "engine/runtime/user_lookup.hpp"
#include "storage/files.hpp"

namespace coracle {
namespace {

struct Viewing {
  RootViewPlan plan;
  LayerUsePtr use;
  ThreadPlaces::Place place;
};

// What the last start bound over files of /etc; nothing before there was one.
std::vector<ResolvedMount> etc_mounts(const Context& context, const Container& c) {
  std::vector<ResolvedMount> out;
  const auto paths = etc_paths(context.store, context.table, c);
  if (!paths) return out;
  for (const auto& [destination, source] :
       {std::pair{"/etc/hosts", &paths->hosts}, std::pair{"/etc/hostname", &paths->hostname},
        std::pair{"/etc/resolv.conf", &paths->resolv_conf}}) {
    const bool covered = std::ranges::any_of(
        c.record.mounts, [&](const MountRecord& m) { return m.destination == destination; });
    if (covered || !exists(*source)) continue;
    ResolvedMount mount;
    mount.type = "bind";
    mount.source = *source;
    mount.destination = destination;
    out.push_back(std::move(mount));
  }
  return out;
}

Result<RootViewPlan> plan_view(const Context& context, Container& c) {
  RootViewPlan plan;
  if (const auto* running = c.running(); running != nullptr && is_alive(c.status())) {
    plan.process = running->identity.init;
    return plan;
  }
  TRY(const auto layer, context.storage->mount_plan(c.id()));
  plan.root.type = layer.type;
  plan.root.lower = layer.lower;
  plan.root.upper = layer.upper;
  plan.root.work = layer.work;
  plan.root.fuse_program = layer.program;
  plan.place = context.store.bundle(c.id());
  if (!c.writable_root) c.writable_root = std::make_shared<WritableRoot>();
  plan.shared = c.writable_root;
  TRY(plan.mounts, resolve_mounts(context.config, *context.storage, c));
  std::ranges::move(etc_mounts(context, c), std::back_inserter(plan.mounts));
  return plan;
}

Result<> may_be_copied(const Container& c) {
  if (!c.damage.empty()) return fail(Errc::conflict, "container {}: {}", c.id(), c.damage);
  if (c.status() == Status::removing)
    return fail(Errc::conflict, "container {} is marked for removal", c.id());
  return {};
}

// Under the lock: neither a start nor a removal is half done when it is planned, and both see the
// use. Not before there is a thread for it, so that what waits for one is in nobody's way.
Task<Viewing> begin_view(Context& context, ContainerPtr c, bool read_only, Lane lane) {
  ThreadOwner owner{lane, c->id()};
  CO_TRY(auto place, co_await ThreadPlaces::take(context.io, std::move(owner)));
  const auto lock = co_await c->mutex.lock();
  CO_CHECK(may_be_copied(*c));
  CO_TRY(auto plan, plan_view(context, *c));
  plan.read_only = read_only;
  Viewing viewing{std::move(plan), c->uses.begin(), std::move(place)};
  co_return viewing;
}

// As Docker takes a client's path: absolute, without "..", a "/" or "/." at its end kept.
std::string client_path(const std::string& text) {
  auto out = clean_path("/" + text);
  const bool slash = text.ends_with('/');
  const bool dot = text == "." || text.ends_with("/.");
  if ((slash || dot) && !out.ends_with('/')) out += '/';
  if (dot) out += '.';
  return out;
}

std::string shown_name(const std::string& path) {
  return path.ends_with("/.") ? "." : base_name(path);
}

Result<PathStat> look(const UniqueFd& root, const std::string& path) {
  TRY(const auto fd, open_in_root(root, path, O_PATH | O_NOFOLLOW));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return sys_error("look at {}", path);
  PathStat out;
  out.name = shown_name(path);
  out.size = st.st_size;
  out.mode = st.st_mode;
  out.modified = Time{st.st_mtim.tv_sec * std::int64_t{1'000'000'000} + st.st_mtim.tv_nsec};
  if (S_ISLNK(st.st_mode)) {
    TRY(out.link_target, resolve_path(root, path));
  }
  return out;
}

// Docker's text for what is not there.
template <class T>
Result<T> named(Result<T> result, const std::string& name, const std::string& path) {
  if (result || result.error().sys != ENOENT) return result;
  return fail(Errc::not_found, "Could not find the file {} in container {}", path, name);
}

struct Target {
  std::string destination;
  bool rw = true;
};

// What Docker refuses to write to.
Result<> may_write(const UniqueFd& root, const std::string& directory,
                   const std::vector<Target>& mounts, bool readonly_rootfs) {
  TRY(const auto real, resolve_path(root, directory));
  const Target* in = nullptr;
  std::size_t longest = 0;
  for (const auto& m : mounts) {
    TRY(const auto at, resolve_path(root, m.destination));
    if ((real == at || real.starts_with(at + "/")) && at.size() > longest) {
      in = &m;
      longest = at.size();
    }
  }
  if (in != nullptr && !in->rw)
    return fail(Errc::invalid_argument, "mounted volume is marked read-only");
  if (in == nullptr && readonly_rootfs)
    return fail(Errc::invalid_argument, "container rootfs is marked read-only");
  return {};
}

struct CopyIn {
  RootViewPlan plan;
  std::string path, user;  // user: "", or whose everything becomes
  std::vector<Target> mounts;
  bool readonly_rootfs = false;
  storage::ExtractOptions options;
  UniqueFd from;

  Result<> run(const StopFlag& stop) {
    const UniqueFd source = std::move(from);
    TRY(const auto view, RootView::open(plan));
    auto directory = open_in_root(view.root(), path, O_PATH | O_DIRECTORY);
    if (!directory && directory.error().sys == ENOTDIR)
      return fail(Errc::invalid_argument, "extraction point is not a directory");
    if (!directory) return std::unexpected(directory.error());
    CHECK(may_write(view.root(), path, mounts, readonly_rootfs));
    if (!user.empty()) {
      oci::User who;
      who.username = user;
      TRY(const auto known, runtime::resolve_user(who, view.root()));
      options.owner = std::pair(known.uid, known.gid);
    }
    return storage::extract_archive(source, view.root(), path, options, stop);
  }
};

// The work of each, cancelled to end it.

Task<PathStat> stat_now(asio::io_context& io, Viewing viewing, std::string path) {
  auto job = [plan = std::move(viewing.plan), path = client_path(path),
              use = viewing.use]() -> Result<PathStat> {
    TRY(const auto view, RootView::open(plan));
    use->pins = view.pins_layer();
    return look(view.root(), path);
  };
  co_return co_await run_on_thread(io, std::move(viewing.place), std::move(job));
}

Task<> copy_out_now(asio::io_context& io, Viewing viewing, std::string path, UniqueFd to,
                    std::function<void(const PathStat&)> told) {
  auto job = [plan = std::move(viewing.plan), path = client_path(path), to = std::move(to),
              told = std::move(told), use = viewing.use,
              &io](const StopFlag& stop) mutable -> Result<> {
    TRY(const auto view, RootView::open(plan));
    use->pins = view.pins_layer();
    const UniqueFd own = std::move(to);  // closed before the view is taken down
    TRY(const auto found, look(view.root(), path));
    asio::post(io, [told, found] { told(found); });
    return storage::write_tree(view.root(), path, found.name, own, stop);
  };
  co_return co_await run_on_thread(io, std::move(viewing.place), std::move(job));
}

Task<> copy_in_now(asio::io_context& io, ThreadPlaces::Place place, CopyIn copy) {
  auto job = [copy = std::move(copy)](const StopFlag& stop) mutable { return copy.run(stop); };
  co_return co_await run_on_thread(io, std::move(place), std::move(job));
}

}  // namespace

Task<PathStat> Files::stat_path(std::string name, std::string path) {
  CO_TRY(auto c, context_.table.find(name));
  CO_TRY(auto viewing, co_await begin_view(context_, c, true, Lane::trees));
  auto use = viewing.use;
  auto work = stat_now(context_.io, std::move(viewing), path);
  auto found = co_await run_use(context_.io, c->uses, std::move(use), std::move(work));
  co_return named(std::move(found), name, path);
}

Task<> Files::copy_out(std::string name, std::string path, UniqueFd to,
                       std::function<void(const PathStat&)> told) {
  CO_TRY(auto c, context_.table.find(name));
  CO_TRY(auto viewing, co_await begin_view(context_, c, true, Lane::peers));
  auto use = viewing.use;
  auto work = copy_out_now(context_.io, std::move(viewing), path, std::move(to), std::move(told));
  auto done = co_await run_use(context_.io, c->uses, std::move(use), std::move(work));
  if (!done) co_return named(std::move(done), name, path);
  announce(*context_.events, *c, "archive-path");
  co_return done;
}

Task<> Files::copy_in(std::string name, std::string path, CopyInOptions options, UniqueFd from) {
  CO_TRY(auto c, context_.table.find(name));
  CO_TRY(auto viewing, co_await begin_view(context_, c, false, Lane::peers));
  auto use = viewing.use;
  auto body = duplicate(from);
  if (body) use->body = *std::move(body);
  CopyIn copy;
  copy.plan = std::move(viewing.plan);
  copy.path = client_path(path);
  copy.readonly_rootfs = c->record.host.readonly_rootfs;
  for (const auto& m : c->record.mounts) {
    // A volume's own options can make it read-only, too.
    const bool read_only =
        std::ranges::any_of(copy.plan.mounts, [&](const ResolvedMount& resolved) {
          return resolved.destination == m.destination && !resolved.rw;
        });
    copy.mounts.push_back({m.destination, m.rw && !read_only});
  }
  if (options.container_ids) copy.user = c->record.config.user;
  copy.options.one_id = context_.config.one_id;
  copy.options.keep_kinds = options.keep_kinds;
  copy.from = std::move(from);
  auto work = copy_in_now(context_.io, std::move(viewing.place), std::move(copy));
  auto done = co_await run_use(context_.io, c->uses, std::move(use), std::move(work));
  context_.storage->layer_changed(c->id());
  if (!done) co_return named(std::move(done), name, path);
  announce(*context_.events, *c, "extract-to-dir");
  co_return done;
}

// It reads the layers' directories and mounts nothing: a removal alone ends it, since what is left
// of a layer that is being taken away would pass for the whole.
Task<> Files::export_container(std::string name, UniqueFd to) {
  CO_TRY(auto c, context_.table.find(name));
  CO_CHECK(may_be_copied(*c));
  auto use = c->uses.begin();
  use->pins = false;
  auto work = context_.storage->export_layer(c->id(), std::move(to));
  CO_CHECK(co_await run_use(context_.io, c->uses, std::move(use), std::move(work)));
  announce(*context_.events, *c, "export");
  co_return Result<>{};
}

}  // namespace coracle
