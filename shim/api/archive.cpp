// Files of a container: cp (archive), diff (changes), export, commit.
#include "engine/face/archive.hpp"

#include <sys/stat.h>

#include "engine/base/json.hpp"
#include "engine/engine.hpp"
#include "engine/face/container_files.hpp"
#include "shim/api/archive_reply.hpp"
#include "shim/wire/container.hpp"
#include "shim/wire/list_text.hpp"

namespace coracle::api {
namespace {

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

Task<> run_copy_out(face::Files& files, std::string name, std::string path, UniqueFd to,
                    HeadSink head) {
  std::function<void(const PathStat&)> told = [head](const PathStat& stat) {
    http::Pairs headers;
    headers.emplace_back(kStatHeader, stat_header(stat));
    head(std::move(headers));
  };
  co_return co_await files.copy_out(std::move(name), std::move(path), std::move(to),
                                    std::move(told));
}

Task<Reply> get_archive(Api& api, CallPtr call) {
  CO_TRY(auto path, path_of(call->request));
  ArchiveOperation operation = [&files = api.engine.files(), name = call->request.params[0], path](
                                   UniqueFd to, HeadSink head) {
    return run_copy_out(files, name, path, std::move(to), std::move(head));
  };
  co_return co_await send_archive(call, api.io, std::move(operation), true);
}

Task<Reply> head_archive(face::Files& files, CallPtr call) {
  CO_TRY(auto path, path_of(call->request));
  call->end_when_client_leaves();
  CO_TRY(const auto stat, co_await files.stat_path(call->request.params[0], std::move(path)));
  Reply reply = http::empty_reply(200);
  reply.headers.emplace_back(kStatHeader, stat_header(stat));
  co_return reply;
}

Task<Reply> put_archive(face::Files& files, CallPtr call) {
  CO_TRY(auto path, path_of(call->request));
  CopyInOptions options;
  options.keep_kinds = call->request.query.flag("noOverwriteDirNonDir");
  options.container_ids = call->request.query.flag("copyUIDGID");
  call->end_when_client_leaves();
  CO_TRY(auto body, call->body_as_pipe());
  const auto done =
      co_await files.copy_in(call->request.params[0], std::move(path), options, std::move(body));
  // What was written stays, but half of an archive is no success whatever it held; and when the
  // body is at fault, that is the reason to tell.
  if (done || call->body_failed()) CO_CHECK(co_await call->body_end());
  CO_CHECK(done);
  co_return http::empty_reply(200);
}

Task<Reply> changes(face::Files& files, CallPtr call) {
  call->end_when_client_leaves();
  CO_TRY(const auto list, co_await files.changes(call->request.params[0]));
  co_return http::json_reply(wire::changes_text(list));
}

Task<Reply> export_one(Api& api, CallPtr call) {
  ArchiveOperation operation = [&files = api.engine.files(), name = call->request.params[0]](
                                   UniqueFd to, const HeadSink&) {
    return files.export_container(name, std::move(to));
  };
  co_return co_await send_archive(call, api.io, std::move(operation));
}

Task<Reply> commit(face::Files& files, CallPtr call) {
  const auto& query = call->request.query;
  CommitRequest request;
  request.repo = query.text("repo");
  request.tag = query.text("tag");
  request.comment = query.text("comment");
  request.author = query.text("author");
  request.pause = query.flag("pause", true);
  request.changes = query.list("changes");
  CO_TRY(const auto body, co_await json_body(call, EmptyBody::is_null));
  CO_TRY(request.config, wire::parse_commit(body));
  const auto container = query.text("container");
  if (container.empty())
    co_return fail(Errc::invalid_argument, "invalid name or ID supplied: \"\"");
  call->end_when_client_leaves();
  CO_TRY(const auto id, co_await files.commit(container, std::move(request)));
  boost::json::object o;
  o["Id"] = id;
  co_return http::json_reply(json::serialize(o), 201);
}

}  // namespace

void add_archive_routes(http::Router& router, Api& api) {
  auto& files = api.engine.files();
  route(router, files, "HEAD", "/containers/{*}/archive", head_archive);
  route(router, api, "GET", "/containers/{*}/archive", get_archive);
  route(router, files, "PUT", "/containers/{*}/archive", put_archive);
  route(router, files, "GET", "/containers/{*}/changes", changes);
  route(router, api, "GET", "/containers/{*}/export", export_one);
  route(router, files, "POST", "/commit", commit);
}

}  // namespace coracle::api
