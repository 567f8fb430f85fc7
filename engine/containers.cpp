#include "engine/containers.hpp"

#include <utility>

#include "engine/inspect/list.hpp"
#include "engine/inspect/view.hpp"
#include "engine/spec/generate.hpp"

namespace coracle {

Task<Created> Containers::create(CreateRequest request) {
  return context_.owned("create", life_.create(std::move(request)));
}

Result<> Containers::list(const ListOptions& options, const ContainerVisitor& visit) const {
  return list_containers(context_, options, visit);
}

Result<ContainerView> Containers::inspect(const std::string& name) const {
  TRY(const auto c, context_.table.find(name));
  auto view = view_of(context_, *c);
  auto hidden = hidden_paths(view.host);
  view.host.masked_paths = std::move(hidden.masked);
  view.host.readonly_paths = std::move(hidden.read_only);
  return view;
}

Task<> Containers::start(std::string name) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await context_.owned("start", life_.start(std::move(c)));
}

Task<> Containers::stop(std::string name, StopOptions options) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await context_.owned("stop", life_.stop(std::move(c), std::move(options)));
}

Task<> Containers::restart(std::string name, StopOptions options) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await context_.owned("restart", life_.restart(std::move(c), std::move(options)));
}

Task<> Containers::kill(std::string name, std::string signal) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await context_.owned("kill", life_.kill(std::move(c), std::move(signal)));
}

Task<> Containers::pause(std::string name) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await context_.owned("pause", life_.pause(std::move(c)));
}

Task<> Containers::unpause(std::string name) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await context_.owned("unpause", life_.unpause(std::move(c)));
}

Task<std::vector<std::string>> Containers::update(std::string name, ContainerUpdate update) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await context_.owned("update", life_.update(std::move(c), std::move(update)));
}

Task<> Containers::rename(std::string name, std::string to) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await context_.owned("rename", life_.rename(std::move(c), std::move(to)));
}

Task<> Containers::remove(std::string name, bool force, bool volumes) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await context_.owned("remove", life_.remove(std::move(c), force, volumes));
}

Task<> Containers::remove_link(std::string name) {
  co_return co_await context_.owned("remove link", life_.remove_link(std::move(name)));
}

Result<std::unique_ptr<Waiter>> Containers::wait(const std::string& name, WaitCondition condition) {
  TRY(const auto c, context_.table.find(name));
  return life_.wait(c, condition);
}

}  // namespace coracle
