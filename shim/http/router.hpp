// Path -> handler. Each route exists with and without "/v1.xx"; without it the version is the
// highest. A path is decoded once and then matched: "{}" is one segment, "{*}" one or more (image
// names hold slashes).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shim/http/call.hpp"

namespace coracle::http {

class Router {
 public:
  // pattern  "/containers/{*}/start"
  void add(std::string method, std::string_view pattern, Handler handler);

  // Negotiates the version, finds the handler, runs it; errors and exceptions have become replies.
  Coro<Reply> answer(CallPtr call) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    Handler handler;
  };
  // Fills in the request's path, version, query and params. errors: the reply that is due
  std::expected<const Route*, Reply> find(Request& request) const;

  std::vector<Route> routes_;
};

}  // namespace coracle::http
