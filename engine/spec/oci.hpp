// The OCI runtime specification 1.2, as plain structs: what stands in a bundle's config.json.
// spec/generate writes it, coracle-monitor carries it out; any other OCI tool can read it.
// An empty string or list means "absent", as in the specification's own (Go) types.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/json_fwd.hpp"

namespace coracle::oci {

constexpr const char* kVersion = "1.2.0";

// --- process ---

struct Box {
  std::uint16_t height = 0;
  std::uint16_t width = 0;
};
void describe(auto& field, Box& b) { field("height", b.height)("width", b.width); }

// `username` is filled when the ids are not decided yet ("name", "name:group", "uid", "uid:gid"):
// the monitor then looks it up in the container's /etc/passwd and /etc/group, and what it finds
// replaces uid, gid and additionalGids (the given additional gids stay, behind the found ones).
// Ours, too: `additionalGroups`, names or numbers looked up in the container's /etc/group; and
// `keepGroups`: the groups of whoever started the engine are kept, and no others are taken.
struct User {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::optional<std::uint32_t> umask;
  std::vector<std::uint32_t> additional_gids;
  std::string username;
  std::vector<std::string> additional_groups;
  bool keep_groups = false;
};
void describe(auto& field, User& u) {
  field("uid", u.uid)("gid", u.gid)("umask", u.umask)("additionalGids", u.additional_gids)(
      "username", u.username)("additionalGroups", u.additional_groups)("keepGroups", u.keep_groups);
}

// Names as in capabilities(7): "CAP_CHOWN".
struct Capabilities {
  std::vector<std::string> bounding, effective, inheritable, permitted, ambient;
};
void describe(auto& field, Capabilities& c) {
  field("bounding", c.bounding)("effective", c.effective)("inheritable", c.inheritable)(
      "permitted", c.permitted)("ambient", c.ambient);
}

struct Rlimit {
  std::string type;  // "RLIMIT_NOFILE"
  std::uint64_t hard = 0;
  std::uint64_t soft = 0;
};
void describe(auto& field, Rlimit& r) { field("type", r.type)("hard", r.hard)("soft", r.soft); }

struct Process {
  bool terminal = false;
  std::optional<Box> console_size;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;  // "K=V"
  std::string cwd = "/";
  std::optional<Capabilities> capabilities;  // absent: none at all
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::optional<std::int32_t> oom_score_adj;
  std::string apparmor_profile;
  std::string selinux_label;
};
void describe(auto& field, Process& p) {
  field("terminal", p.terminal)("consoleSize", p.console_size)("user", p.user)("args", p.args)(
      "env", p.env)("cwd", p.cwd)("capabilities", p.capabilities)("rlimits", p.rlimits)(
      "noNewPrivileges", p.no_new_privileges)("oomScoreAdj", p.oom_score_adj)(
      "apparmorProfile", p.apparmor_profile)("selinuxLabel", p.selinux_label);
}

// --- file system ---

struct Root {
  std::string path;  // relative to the bundle, or absolute
  bool readonly = false;
};
void describe(auto& field, Root& r) { field("path", r.path)("readonly", r.readonly); }

struct Mount {
  std::string destination;
  std::string type;  // "bind", "tmpfs", "proc", …
  std::string source;
  std::vector<std::string> options;
};
void describe(auto& field, Mount& m) {
  field("destination", m.destination)("type", m.type)("source", m.source)("options", m.options);
}

// --- linux ---

struct Namespace {
  std::string type;  // pid network mount ipc uts user cgroup time
  std::string path;  // "": a new one
};
void describe(auto& field, Namespace& n) { field("type", n.type)("path", n.path); }

struct IdMapping {
  std::uint32_t container_id = 0;
  std::uint32_t host_id = 0;
  std::uint32_t size = 0;
};
void describe(auto& field, IdMapping& m) {
  field("containerID", m.container_id)("hostID", m.host_id)("size", m.size);
}

struct Device {
  std::string path;
  std::string type;  // c, b, u, p
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::optional<std::uint32_t> file_mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
};
void describe(auto& field, Device& d) {
  field("path", d.path)("type", d.type)("major", d.major)("minor", d.minor)(
      "fileMode", d.file_mode)("uid", d.uid)("gid", d.gid);
}

struct SeccompArg {
  std::uint32_t index = 0;
  std::uint64_t value = 0;
  std::uint64_t value_two = 0;
  std::string op;  // "SCMP_CMP_EQ", …
};
void describe(auto& field, SeccompArg& a) {
  field("index", a.index)("value", a.value)("valueTwo", a.value_two)("op", a.op);
}

struct SeccompRule {
  std::vector<std::string> names;
  std::string action;  // "SCMP_ACT_ALLOW", …
  std::optional<std::uint32_t> errno_ret;
  std::vector<SeccompArg> args;
};
void describe(auto& field, SeccompRule& r) {
  field("names", r.names)("action", r.action)("errnoRet", r.errno_ret)("args", r.args);
}

struct Seccomp {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<std::string> architectures;  // "SCMP_ARCH_X86_64", …
  std::vector<std::string> flags;          // "SECCOMP_FILTER_FLAG_LOG", …
  std::vector<SeccompRule> syscalls;
};
void describe(auto& field, Seccomp& s) {
  field("defaultAction", s.default_action)("defaultErrnoRet", s.default_errno_ret)(
      "architectures", s.architectures)("flags", s.flags)("syscalls", s.syscalls);
}

struct TimeOffset {
  std::int64_t secs = 0;
  std::uint32_t nanosecs = 0;
};
void describe(auto& field, TimeOffset& t) { field("secs", t.secs)("nanosecs", t.nanosecs); }

struct Linux {
  std::vector<Namespace> namespaces;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  std::vector<Device> devices;
  json::Raw resources;  // as the specification has it; null: none
  std::string cgroups_path;
  std::string rootfs_propagation;  // "", private, slave, shared, unbindable
  std::optional<Seccomp> seccomp;  // absent: no filter
  std::map<std::string, std::string> sysctl;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::string mount_label;
  std::map<std::string, TimeOffset> time_offsets;
};
void describe(auto& field, Linux& l) {
  field("namespaces", l.namespaces)("uidMappings", l.uid_mappings)("gidMappings", l.gid_mappings)(
      "devices", l.devices)("resources", l.resources)("cgroupsPath", l.cgroups_path)(
      "rootfsPropagation", l.rootfs_propagation)("seccomp", l.seccomp)("sysctl", l.sysctl)(
      "maskedPaths", l.masked_paths)("readonlyPaths", l.readonly_paths)(
      "mountLabel", l.mount_label)("timeOffsets", l.time_offsets);
}

// --- hooks ---

struct Hook {
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::int32_t timeout = 0;
};
void describe(auto& field, Hook& h) {
  field("path", h.path)("args", h.args)("env", h.env)("timeout", h.timeout);
}

struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart,
      poststop;
};
void describe(auto& field, Hooks& h) {
  field("prestart", h.prestart)("createRuntime", h.create_runtime)(
      "createContainer", h.create_container)("startContainer", h.start_container)(
      "poststart", h.poststart)("poststop", h.poststop);
}

// --- the whole ---

struct Spec {
  std::string oci_version = kVersion;
  Process process;
  Root root;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;
  std::map<std::string, std::string> annotations;
  std::optional<Hooks> hooks;
  Linux linux;
};
void describe(auto& field, Spec& s) {
  field("ociVersion", s.oci_version)("process", s.process)("root", s.root)("hostname", s.hostname)(
      "domainname", s.domainname)("mounts", s.mounts)("annotations", s.annotations)(
      "hooks", s.hooks)("linux", s.linux);
}

// What `state` answers.
struct State {
  std::string oci_version = kVersion;
  std::string id;
  std::string status;  // creating, created, running, stopped
  std::int32_t pid = 0;
  std::string bundle;
  std::map<std::string, std::string> annotations;
};
void describe(auto& field, State& s) {
  field("ociVersion", s.oci_version)("id", s.id)("status", s.status)("pid", s.pid)(
      "bundle", s.bundle)("annotations", s.annotations);
}

}  // namespace coracle::oci
