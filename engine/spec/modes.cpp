#include "engine/spec/modes.hpp"

#include <string_view>

namespace coracle {
namespace {

constexpr std::string_view kContainer = "container:";

// Of whom, when that is what the text says.
std::optional<std::string> joined(const std::string& text) {
  if (!text.starts_with(kContainer)) return std::nullopt;
  return text.substr(kContainer.size());
}

}  // namespace

NetworkMode network_mode(const HostConfig& host) {
  using Kind = NetworkMode::Kind;
  const auto& text = host.network_mode;
  if (text.empty() || text == "default" || text == kBridgeNetwork) return {};
  if (text == kHostNetwork) return {Kind::host, {}};
  if (text == kNoneNetwork) return {Kind::none, {}};
  if (auto ref = joined(text)) return {Kind::container, *std::move(ref)};
  return {Kind::named, text};
}

std::optional<PidMode> parse_pid_mode(const std::string& text) {
  if (text.empty()) return PidMode{};
  if (text == "host") return PidMode{PidMode::Kind::host, {}};
  auto ref = joined(text);
  if (!ref || ref->empty()) return std::nullopt;
  return PidMode{PidMode::Kind::container, *std::move(ref)};
}

std::optional<IpcMode> parse_ipc_mode(const std::string& text) {
  using Kind = IpcMode::Kind;
  if (text.empty() || text == "private") return IpcMode{};
  if (text == "shareable") return IpcMode{Kind::shareable, {}};
  if (text == "none") return IpcMode{Kind::none, {}};
  if (text == "host") return IpcMode{Kind::host, {}};
  auto ref = joined(text);
  if (!ref || ref->empty()) return std::nullopt;
  return IpcMode{Kind::container, *std::move(ref)};
}

PidMode pid_mode(const HostConfig& host) {
  return parse_pid_mode(host.pid_mode).value_or(PidMode{});
}
IpcMode ipc_mode(const HostConfig& host) {
  return parse_ipc_mode(host.ipc_mode).value_or(IpcMode{});
}
bool has_host_uts(const HostConfig& host) { return host.uts_mode == "host"; }

std::string text_of_joined(const std::string& ref) { return std::string(kContainer) + ref; }

std::optional<RestartKind> parse_restart_kind(const std::string& name) {
  if (name.empty() || name == "no") return RestartKind::no;
  if (name == "always") return RestartKind::always;
  if (name == "unless-stopped") return RestartKind::unless_stopped;
  if (name == "on-failure") return RestartKind::on_failure;
  return std::nullopt;
}

RestartKind restart_kind(const HostConfig& host) {
  return parse_restart_kind(host.restart_policy.name).value_or(RestartKind::no);
}

}  // namespace coracle
