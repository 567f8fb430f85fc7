// Containers and the steps of their life. A container is named by its full id, its name (with or
// without "/"), or a unique prefix of its id; errors carry Docker's texts where clients read them:
// not_found "No such container: X".
//
// What changes a container is carried to its end when the client that asked has gone:
// docs/decisions/0051-what-ends-with-its-client.md.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "engine/face/container_options.hpp"
#include "engine/face/container_view.hpp"
#include "engine/face/create.hpp"
#include "engine/face/streams.hpp"
#include "engine/face/update.hpp"

namespace coracle {

using ContainerVisitor = std::function<void(const ContainerView&)>;

namespace face {

class Containers {
 public:
  virtual ~Containers() = default;

  //   errors  not_found "No such image: X"; conflict (name, Docker's text); invalid_argument
  virtual Task<Created> create(CreateRequest request) = 0;
  // Shows the containers that `options` asks for, the newest first. A view lives for one call of
  // `visit`: a thousand of them at once would be megabytes.
  //   errors  invalid_argument "invalid filter 'x'"; not_found: before or since names no container
  [[nodiscard]] virtual Result<> list(const ListOptions& options,
                                      const ContainerVisitor& visit) const = 0;
  [[nodiscard]] virtual Result<ContainerView> inspect(const std::string& name) const = 0;

  //   errors  unchanged (running); conflict; Docker's texts for failing commands and taken ports
  virtual Task<> start(std::string name) = 0;
  //   errors  unchanged: it does not run
  virtual Task<> stop(std::string name, StopOptions options) = 0;
  virtual Task<> restart(std::string name, StopOptions options) = 0;
  //   signal  a name, SIGname, a number; "" is KILL
  virtual Task<> kill(std::string name, std::string signal) = 0;
  //   errors  of both: conflict with Docker's texts
  virtual Task<> pause(std::string name) = 0;
  virtual Task<> unpause(std::string name) = 0;

  // Answers warnings: what was asked for and cannot be kept on this host (it is not stored).
  //   errors  invalid_argument; conflict: --rm and a restart policy, being removed
  virtual Task<std::vector<std::string>> update(std::string name, ContainerUpdate update) = 0;
  virtual Task<> rename(std::string name, std::string to) = 0;
  virtual Task<> remove(std::string name, bool force, bool volumes) = 0;
  // Takes away a legacy link: "web/db", the container that has it and its alias.
  virtual Task<> remove_link(std::string name) = 0;

  // Armed when it returns.
  virtual Result<std::unique_ptr<Waiter>> wait(const std::string& name,
                                               WaitCondition condition) = 0;
};

}  // namespace face
}  // namespace coracle
