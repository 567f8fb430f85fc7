// Exec instances: made by exec_create, run once by the container's monitor, and kept for a while
// after their end, since every client asks for the exit code when its stream is over.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/container/container.hpp"
#include "engine/context.hpp"
#include "engine/face/execs.hpp"

namespace coracle {

class Execs final : public face::Execs {
 public:
  explicit Execs(Context& context) : context_(context) {}

  Task<std::string> create(std::string container, ExecRequest request) override;
  [[nodiscard]] Result<ExecView> check_start(const std::string& id) const override;
  Task<> start_attached(std::string id, ExecStart how, UniqueFd client,
                        std::string leftover) override;
  Task<> start_detached(std::string id) override;
  Task<> resize(std::string id, std::uint16_t height, std::uint16_t width) override;
  [[nodiscard]] Result<ExecView> inspect(const std::string& id) const override;

  // create, of a container that is at hand.
  Result<std::string> create_in(const ContainerPtr& c, ExecRequest request);
  // A health check's: without a client; what it prints goes to `output` as it is.
  //   errors  of its start
  Task<> start_probe(std::string id, UniqueFd output);
  void kill(const std::string& id);  // SIGKILL, when it runs
  // Before its time: nobody will ask for it.
  void forget(const std::string& id);

  // What the lifecycle tells (Lifecycle::Hooks).
  void event(const ContainerPtr& c, const monitor::Answer& answer);
  void reattached(const ContainerPtr& c, const std::vector<monitor::ExecView>& execs);
  void ended(const ContainerPtr& c);
  void removed(const ContainerPtr& c);

 private:
  struct Instance {
    ExecView view;
    ContainerPtr container;
    bool started = false;
    Time ended_at;
  };
  using InstancePtr = std::shared_ptr<Instance>;

  [[nodiscard]] Result<InstancePtr> find(const std::string& id) const;
  Task<> run_attached(std::string id, ExecStart how, UniqueFd client, std::string leftover);
  Task<> run_detached(std::string id);
  //   attach  what `client` is to get, when there is one
  Task<> run(InstancePtr exec, monitor::Attach attach, UniqueFd client);
  static Coro<void> send_kill(std::shared_ptr<MonitorLink> link, std::string id);
  void finish(Instance& exec, std::int32_t code, Time at);
  void forget_old();

  Context& context_;
  std::map<std::string, InstancePtr> all_;
};

}  // namespace coracle
