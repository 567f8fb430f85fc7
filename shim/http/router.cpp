#include "shim/http/router.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <span>
#include <utility>

#include "engine/base/log.hpp"
#include "shim/http/problem.hpp"

namespace coracle::http {
namespace {

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> out;
  if (path.starts_with('/')) path.remove_prefix(1);
  for (;;) {
    const auto slash = path.find('/');
    out.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    path.remove_prefix(slash + 1);
  }
}

// A {*} takes the segments that the rest of the pattern leaves: there is one at most.
bool match(std::span<const std::string> pattern, std::span<const std::string> path,
           std::vector<std::string>& params) {
  if (pattern.empty()) return path.empty();
  if (path.empty()) return false;
  if (pattern[0] == "{*}") {
    const std::size_t behind = pattern.size() - 1;
    if (path.size() <= behind) return false;
    const std::size_t take = path.size() - behind;
    std::vector<std::string> rest;
    if (!match(pattern.subspan(1), path.subspan(take), rest)) return false;
    std::string name = path[0];
    for (std::size_t i = 1; i < take; ++i) name += "/" + path[i];
    if (name.empty()) return false;
    params.push_back(std::move(name));
    std::ranges::move(rest, std::back_inserter(params));
    return true;
  }
  if (pattern[0] == "{}") {
    if (path[0].empty()) return false;
    params.push_back(path[0]);
    if (match(pattern.subspan(1), path.subspan(1), params)) return true;
    params.pop_back();
    return false;
  }
  return pattern[0] == path[0] && match(pattern.subspan(1), path.subspan(1), params);
}

// "http://host/path" is allowed by HTTP too; the host never matters.
std::string_view without_host(std::string_view target) {
  const auto scheme = target.find("://");
  if (target.starts_with('/') || scheme == std::string_view::npos) return target;
  const auto slash = target.find('/', scheme + 3);
  return slash == std::string_view::npos ? "/" : target.substr(slash);
}

}  // namespace

void Router::add(std::string method, std::string_view pattern, Handler handler) {
  routes_.push_back({std::move(method), split(pattern), std::move(handler)});
}

std::expected<const Router::Route*, Reply> Router::find(Request& request) const {
  const auto target = without_host(request.target);
  const auto mark = target.find('?');
  auto path = percent_decode(target.substr(0, mark), false);
  if (!path) return std::unexpected(problem(path.error()));
  if (mark != std::string_view::npos) {
    auto query = Query::parse(target.substr(mark + 1));
    if (!query) return std::unexpected(problem(query.error()));
    request.query = *std::move(query);
  }
  if (!path->starts_with('/')) return std::unexpected(problem(404, "page not found"));

  if (path->size() > 2 && (*path)[1] == 'v' && (*path)[2] >= '0' && (*path)[2] <= '9') {
    const auto slash = path->find('/', 1);
    const auto version = parse_version(std::string_view(*path).substr(
        2, slash == std::string::npos ? std::string::npos : slash - 2));
    if (!version || slash == std::string::npos)
      return std::unexpected(problem(404, "page not found"));
    if (*version < kMinVersion)
      return std::unexpected(problem(
          400, fmt::format("client version {} is too old. Minimum supported API version is {}, "
                           "please upgrade your client to a newer version",
                           to_string(*version), to_string(kMinVersion))));
    if (*version > kMaxVersion)
      return std::unexpected(problem(
          400, fmt::format("client version {} is too new. Maximum supported API version is {}",
                           to_string(*version), to_string(kMaxVersion))));
    request.version = *version;
    path->erase(0, slash);
  }
  request.path = *std::move(path);

  const auto segments = split(request.path);
  for (const auto& route : routes_) {
    if (route.method != request.method) continue;
    std::vector<std::string> params;
    if (match(route.segments, segments, params)) {
      request.params = std::move(params);
      return &route;
    }
  }
  return std::unexpected(problem(404, "page not found"));
}

Coro<Reply> Router::answer(CallPtr call) const {
  if (call->request.method == "OPTIONS") co_return empty_reply(200);
  const auto route = find(call->request);
  if (!route) co_return route.error();
  const std::string method = call->request.method;
  const std::string path = call->request.path;
  std::string bug;
  try {
    auto reply = co_await (*route)->handler(call);
    if (reply) {
      if (log::enabled(log::Level::debug))
        log::debug("{} {} status={}", method, path, reply->status);
      co_return *std::move(reply);
    }
    const Error& e = reply.error();
    if (e.code == Errc::internal)
      log::error("request failed method={} path={} reason={}", method, path, e.message);
    else
      log::debug("{} {} refused: {}", method, path, e.message);
    co_return problem(e);
  } catch (const std::exception& x) {
    bug = x.what();
  }
  log::error("request ended by an exception method={} path={} reason={}", method, path, bug);
  co_return problem(500, bug);
}

}  // namespace coracle::http
