// CDI (Container Device Interface) specifications: what a vendor says a container needs to use a
// device: variables, nodes, mounts, hooks. Pure: the texts come from bundle/cdi_files.
// Format: CNCF container-device-interface, SPEC.md, versions up to 1.0.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/spec/generate.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::cdi {

struct DeviceNode {
  std::string path, host_path, type, permissions;  // host_path "": path; permissions "": rwm
};
void describe(auto& field, DeviceNode& d) {
  field("path", d.path)("hostPath", d.host_path)("type", d.type)("permissions", d.permissions);
}

struct Mount {
  std::string host_path, container_path, type;  // type "": bind
  std::vector<std::string> options;
};
void describe(auto& field, Mount& m) {
  field("hostPath", m.host_path)("containerPath", m.container_path)("type", m.type)("options",
                                                                                    m.options);
}

struct Hook {
  std::string hook_name, path;
  std::vector<std::string> args, env;
  std::optional<std::int32_t> timeout;
};
void describe(auto& field, Hook& h) {
  field("hookName", h.hook_name)("path", h.path)("args", h.args)("env", h.env)("timeout",
                                                                               h.timeout);
}

struct Edits {
  std::vector<std::string> env;  // "K=V"
  std::vector<DeviceNode> device_nodes;
  std::vector<Mount> mounts;
  std::vector<Hook> hooks;
  std::vector<std::uint32_t> additional_gids;
};
void describe(auto& field, Edits& e) {
  field("env", e.env)("deviceNodes", e.device_nodes)("mounts", e.mounts)("hooks", e.hooks)(
      "additionalGids", e.additional_gids);
}

struct Device {
  std::string name;
  Edits edits;
};
void describe(auto& field, Device& d) { field("name", d.name)("containerEdits", d.edits); }

struct Spec {
  std::string version, kind;  // kind: "vendor.com/class"
  std::vector<Device> devices;
  Edits edits;  // for each container that has a device of it, once
};
void describe(auto& field, Spec& s) {
  field("cdiVersion", s.version)("kind", s.kind)("devices", s.devices)("containerEdits", s.edits);
}

// Is it "vendor.com/class=name"?
bool is_qualified_name(const std::string& name);

// Of all devices, each once, in order.
std::vector<std::string> qualified_names(const std::vector<Spec>& specs);

// Finds the devices (a later spec wins over an earlier one of the same name: directories are read
// in their order) and puts what they need into the input of spec/generate.
//   errors  internal, Docker's text: `CDI device injection failed: unresolvable CDI devices A, B`;
//           unsupported: a hook of a kind that is not run here
Result<> inject(const std::vector<Spec>& specs, const std::vector<std::string>& names,
                GenerateInput& into);

}  // namespace coracle::cdi
