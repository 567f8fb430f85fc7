// What a HostConfig's modes say. Their texts are read here and nowhere else; the record keeps the
// texts, since inspect shows them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/face/host_config.hpp"

namespace coracle {

// The networks that are always there, by their names.
inline constexpr const char* kBridgeNetwork = "bridge";
inline constexpr const char* kHostNetwork = "host";
inline constexpr const char* kNoneNetwork = "none";

struct NetworkMode {
  enum class Kind : std::uint8_t { bridge, host, none, container, named };
  Kind kind = Kind::bridge;
  std::string ref;  // container: whose, by name or id (may be ""); named: the network
  [[nodiscard]] bool is_bridge() const { return kind == Kind::bridge; }
  [[nodiscard]] bool is_host() const { return kind == Kind::host; }
  [[nodiscard]] bool is_container() const { return kind == Kind::container; }
  // It has a network namespace of its own, which netstack makes.
  [[nodiscard]] bool has_endpoint() const { return kind == Kind::bridge || kind == Kind::none; }
};
// "" and "default" are the bridge.
NetworkMode network_mode(const HostConfig& host);

struct PidMode {
  enum class Kind : std::uint8_t { own, host, container };
  Kind kind = Kind::own;
  std::string ref;  // container
};
// Nothing: it is no mode.
std::optional<PidMode> parse_pid_mode(const std::string& text);

struct IpcMode {
  // own: "" and "private", which nobody else can join; shareable: its own, too
  enum class Kind : std::uint8_t { own, shareable, none, host, container };
  Kind kind = Kind::own;
  std::string ref;  // container
};
std::optional<IpcMode> parse_ipc_mode(const std::string& text);

// Of one that was checked at its creation.
PidMode pid_mode(const HostConfig& host);
IpcMode ipc_mode(const HostConfig& host);
bool has_host_uts(const HostConfig& host);

// The mode's text: "container:REF".
std::string text_of_joined(const std::string& ref);

enum class RestartKind : std::uint8_t { no, always, unless_stopped, on_failure };
// "" is no. Nothing: there is no such policy.
std::optional<RestartKind> parse_restart_kind(const std::string& name);
RestartKind restart_kind(const HostConfig& host);

}  // namespace coracle
