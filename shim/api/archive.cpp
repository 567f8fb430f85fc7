// Files of a container: cp (archive), diff (changes), export, commit.
#include "engine/archive.hpp"

#include <sys/stat.h>

#include "shim/api/api.hpp"
#include "shim/wire/list_text.hpp"

namespace coracle::api {
namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10;
constexpr const char* kStatHeader = "X-Docker-Container-Path-Stat";

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<std::uint8_t>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      out += i + k > bytes.size() ? '=' : kDigits[group >> (18 - 6 * k) & 63U];
  }
  return out;
}

// stat(2)'s mode as Go's os.FileMode counts it.
std::uint32_t go_mode(std::uint32_t mode) {
  std::uint32_t out = mode & 0777U;
  if (S_ISDIR(mode)) out |= 1U << 31;
  if (S_ISLNK(mode)) out |= 1U << 27;
  if (S_ISBLK(mode) || S_ISCHR(mode)) out |= 1U << 26;
  if (S_ISFIFO(mode)) out |= 1U << 25;
  if (S_ISSOCK(mode)) out |= 1U << 24;
  if ((mode & S_ISUID) != 0) out |= 1U << 23;
  if ((mode & S_ISGID) != 0) out |= 1U << 22;
  if (S_ISCHR(mode)) out |= 1U << 21;
  if ((mode & S_ISVTX) != 0) out |= 1U << 20;
  return out;
}

std::string stat_header(const PathStat& stat) {
  boost::json::object o;
  o["name"] = stat.name;
  o["size"] = stat.size;
  o["mode"] = go_mode(stat.mode);
  o["mtime"] = to_rfc3339(stat.modified);
  o["linkTarget"] = stat.link_target;
  return base64(json::serialize(o));
}

Result<std::string> path_of(const http::Request& request) {
  auto path = request.query.text("path");
  if (path.empty()) return fail(Errc::invalid_argument, "bad parameter: path cannot be empty");
  return path;
}

// An archive on its way from the engine to the client, through a pipe. A client that leaves closes
// it, which ends the writing.
struct Sending {
  explicit Sending(asio::io_context& io) : changed(io) {}
  Signal changed;
  std::optional<PathStat> stat;
  bool over = false;
  Result<> result;
};

Task<Reply> send_pipe(Api& api, CallPtr call, UniqueFd pipe, std::shared_ptr<Sending> sending,
                      bool with_stat) {
  std::string piece(kPiece, '\0');
  for (;;) {
    const auto n = read_some(pipe, piece);
    if (!n && n.error().sys == EAGAIN) {
      CO_CHECK(co_await wait_readable(api.io, pipe));
      continue;
    }
    if (!n) co_return std::unexpected(n.error());
    if (*n == 0) break;
    if (!call->begun()) {
      while (with_stat && !sending->stat && !sending->over) co_await sending->changed.wait();
      Reply head;
      head.type = "application/x-tar";
      if (sending->stat) head.headers.emplace_back(kStatHeader, stat_header(*sending->stat));
      CO_CHECK(co_await call->begin(std::move(head)));
    }
    CO_CHECK(co_await call->write(piece.substr(0, *n)));
  }
  if (!call->begun()) {
    while (!sending->over) co_await sending->changed.wait();
    CO_CHECK(sending->result);
    co_return fail(Errc::internal, "the archive is empty");
  }
  // What came is whole only if the writer says so.
  while (!sending->over) co_await sending->changed.wait();
  CO_CHECK(sending->result);
  co_return http::sent_reply();
}

Coro<void> run_copy_out(Engine& engine, std::string name, std::string path, UniqueFd to,
                        std::shared_ptr<Sending> sending) {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::function<void(const PathStat&)> told = [sending](const PathStat& stat) {
    sending->stat = stat;
    sending->changed.notify_all();
  };
  sending->result =
      co_await engine.copy_out(std::move(name), std::move(path), std::move(to), std::move(told));
  sending->over = true;
  sending->changed.notify_all();
}

Task<Reply> get(Api& api, CallPtr call) {
  CO_TRY(auto path, path_of(call->request));
  CO_TRY(auto pipe, make_pipe());
  CO_CHECK(set_nonblocking(pipe.read, true));
  call->end_when_client_leaves();
  auto sending = std::make_shared<Sending>(api.io);
  call->beside(run_copy_out(api.engine, call->request.params[0], std::move(path),
                            std::move(pipe.write), sending));
  co_return co_await send_pipe(api, call, std::move(pipe.read), sending, true);
}

Task<Reply> head(Api& api, CallPtr call) {
  CO_TRY(auto path, path_of(call->request));
  CO_TRY(const auto stat, co_await api.engine.stat_path(call->request.params[0], std::move(path)));
  Reply reply = http::empty_reply(200);
  reply.headers.emplace_back(kStatHeader, stat_header(stat));
  co_return reply;
}

Task<Reply> put(Api& api, CallPtr call) {
  CO_TRY(auto path, path_of(call->request));
  CopyInOptions options;
  options.keep_kinds = call->request.query.flag("noOverwriteDirNonDir");
  options.container_ids = call->request.query.flag("copyUIDGID");
  CO_TRY(auto body, call->body_as_pipe());
  CO_CHECK(co_await api.engine.copy_in(call->request.params[0], std::move(path), options,
                                       std::move(body)));
  co_return http::empty_reply(200);
}

Task<Reply> changes(Api& api, CallPtr call) {
  CO_TRY(const auto list, co_await api.engine.changes(call->request.params[0]));
  co_return http::json_reply(wire::changes_text(list));
}

Coro<void> run_export(Engine& engine, std::string name, UniqueFd to,
                      std::shared_ptr<Sending> sending) {
  co_await asio::this_coro::throw_if_cancelled(false);
  sending->result = co_await engine.export_container(std::move(name), std::move(to));
  sending->over = true;
  sending->changed.notify_all();
}

Task<Reply> export_one(Api& api, CallPtr call) {
  CO_TRY(auto pipe, make_pipe());
  CO_CHECK(set_nonblocking(pipe.read, true));
  call->end_when_client_leaves();
  auto sending = std::make_shared<Sending>(api.io);
  call->beside(run_export(api.engine, call->request.params[0], std::move(pipe.write), sending));
  co_return co_await send_pipe(api, call, std::move(pipe.read), sending, false);
}

Task<Reply> commit(Api& api, CallPtr call) {
  const auto& query = call->request.query;
  CommitRequest request;
  const auto container = query.text("container");
  if (container.empty())
    co_return fail(Errc::invalid_argument, "invalid name or ID supplied: \"\"");
  request.repo = query.text("repo");
  request.tag = query.text("tag");
  request.comment = query.text("comment");
  request.author = query.text("author");
  request.pause = query.flag("pause", true);
  request.changes = query.list("changes");
  CO_TRY(const auto body, co_await json_body(call, false));
  if (!body.is_null()) {
    CO_TRY(request.config, json::from_json<ContainerConfig>(body));
  }
  CO_TRY(const auto id, co_await api.engine.commit(container, std::move(request)));
  boost::json::object o;
  o["Id"] = id;
  co_return http::json_reply(json::serialize(o), 201);
}

}  // namespace

void add_archive_routes(http::Router& router, Api& api) {
  route(router, api, "HEAD", "/containers/{}/archive", head);
  route(router, api, "GET", "/containers/{}/archive", get);
  route(router, api, "PUT", "/containers/{}/archive", put);
  route(router, api, "GET", "/containers/{}/changes", changes);
  route(router, api, "GET", "/containers/{}/export", export_one);
  route(router, api, "POST", "/commit", commit);
}

}  // namespace coracle::api
