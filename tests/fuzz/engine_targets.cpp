// engine/spec, engine/runtime, and the engine's readers of files: users, seccomp profiles, OCI
// specifications, YAML with CDI, the host's network files, ranges of ids.
#include <algorithm>
#include <array>
#include <charconv>

#include "engine/base/json.hpp"
#include "engine/bundle/etc_files.hpp"
#include "engine/bundle/yaml.hpp"
#include "engine/rootless/idmap.hpp"
#include "engine/runtime/mounts/plan.hpp"
#include "engine/runtime/user_lookup.hpp"
#include "engine/spec/cdi.hpp"
#include "engine/spec/seccomp_profile.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

// The texts of an input, parted by NUL; the last one takes the rest.
template <std::size_t N>
std::array<std::string_view, N> parts_of(std::string_view input) {
  std::array<std::string_view, N> out;
  for (std::size_t i = 0; i < N; ++i) {
    const auto end = i + 1 == N ? input.size() : std::min(input.find('\0'), input.size());
    out[i] = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  return out;
}

// Does a line of passwd(5) say that this name, or this number, is id 0?
bool says_root(std::string_view name, std::string_view passwd) {
  const auto zero = [](std::string_view text) {
    std::uint64_t n = 1;
    const auto r = std::from_chars(text.data(), text.data() + text.size(), n);
    return r.ec == std::errc{} && r.ptr == text.data() + text.size() && n == 0;
  };
  if (name.empty() || zero(name)) return true;
  while (!passwd.empty()) {
    const auto line = passwd.substr(0, passwd.find('\n'));
    passwd.remove_prefix(std::min(line.size() + 1, passwd.size()));
    std::array<std::string_view, 3> fields;
    auto rest = line;
    for (auto& f : fields) {
      f = rest.substr(0, rest.find(':'));
      rest.remove_prefix(std::min(f.size() + 1, rest.size()));
    }
    if (fields[0] == name && zero(fields[2])) return true;
  }
  return false;
}

void user(std::string_view input) {
  const auto [who, passwd, group] = parts_of<3>(input);
  const auto found = runtime::lookup_user(who, passwd, group);
  (void)runtime::lookup_additional_group(who, group);
  if (!found) return;
  // What is given to setresuid(2) is never -1 or out of range, and root only where it is written.
  MUST(found->uid <= 0x7fffffff && found->gid <= 0x7fffffff);
  MUST(std::ranges::all_of(found->groups, [](std::uint32_t g) { return g <= 0x7fffffff; }));
  if (found->uid == 0) MUST(says_root(who.substr(0, who.find(':')), passwd));
}

void seccomp(std::string_view input) {
  static const SeccompTarget kPlain{{"CAP_CHOWN", "CAP_KILL"}, "amd64", {6, 18}};
  static const SeccompTarget kAdmin{{"CAP_SYS_ADMIN", "CAP_BPF"}, "arm64", {4, 4}};
  for (const auto* target : {&kPlain, &kAdmin}) {
    const auto resolved = resolve_seccomp_profile(input, *target);
    if (!resolved) continue;
    MUST(json::from_text<oci::Seccomp>(json::to_text(*resolved)).has_value());
  }
}

void kernel(std::string_view input) { (void)parse_kernel_version(input); }

void oci_spec(std::string_view input) {
  const auto spec = json::from_text<oci::Spec>(input);
  if (!spec) return;
  MUST(json::from_text<oci::Spec>(json::to_text(*spec)).has_value());
  const auto plan = runtime::make_plan(*spec);
  if (!plan) return;
  for (const auto& m : plan->mounts) {
    MUST(m.destination.starts_with('/'));
    MUST(("/" + m.destination + "/").find("/../") == std::string::npos);
    (void)m.layers();
  }
}

void yaml(std::string_view input) {
  const auto value = parse_yaml(std::string(input));
  if (!value) return;
  auto spec = json::from_json<cdi::Spec>(*value);
  if (!spec) return;
  std::vector<std::string> names;
  for (const auto& d : spec->devices) {
    if (names.size() < 3) names.push_back(spec->kind + "=" + d.name);
    (void)cdi::is_qualified_name(names.back());
  }
  GenerateInput into;
  (void)cdi::inject({*spec}, names, into);
}

void network_files(std::string_view input) {
  const auto [conf, hosts, extra] = parts_of<3>(input);
  ContainerConfig config;
  config.hostname = "web";
  HostConfig host;
  host.extra_hosts = {std::string(extra)};
  for (const bool of_host : {true, false}) {
    const NetworkFacts facts{"172.17.0.2", "172.17.0.1",       "",
                             of_host,      std::string(hosts), std::string(conf)};
    (void)hosts_text(config, host, facts);
    (void)resolv_conf_text(host, facts);
  }
}

void sub_ids(std::string_view input) {
  const auto [users, groups] = parts_of<2>(input);
  (void)rootless::propose_range(users, groups);
}

std::string joined(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const auto p : parts) (out.empty() ? out : out += '\0') += p;
  return out;
}

}  // namespace

std::vector<Target> engine_targets() {
  const std::vector<std::string> seccomp_words{"defaultAction",
                                               "defaultErrnoRet",
                                               "architectures",
                                               "archMap",
                                               "architecture",
                                               "subArchitectures",
                                               "syscalls",
                                               "names",
                                               "name",
                                               "action",
                                               "errnoRet",
                                               "args",
                                               "index",
                                               "value",
                                               "valueTwo",
                                               "op",
                                               "includes",
                                               "excludes",
                                               "caps",
                                               "arches",
                                               "minKernel",
                                               "SCMP_ACT_ALLOW",
                                               "SCMP_ACT_ERRNO",
                                               "SCMP_ACT_TRACE",
                                               "SCMP_ACT_NOTIFY",
                                               "SCMP_CMP_EQ",
                                               "SCMP_CMP_MASKED_EQ",
                                               "SCMP_ARCH_X86_64",
                                               "SCMP_ARCH_X86",
                                               "CAP_SYS_ADMIN",
                                               "amd64",
                                               "4.8",
                                               "read",
                                               "flags",
                                               "SECCOMP_FILTER_FLAG_LOG",
                                               "listenerPath"};
  const std::vector<std::string> spec_words{"ociVersion",
                                            "process",
                                            "root",
                                            "mounts",
                                            "destination",
                                            "source",
                                            "type",
                                            "options",
                                            "linux",
                                            "namespaces",
                                            "path",
                                            "devices",
                                            "maskedPaths",
                                            "readonlyPaths",
                                            "rootfsPropagation",
                                            "seccomp",
                                            "user",
                                            "uid",
                                            "args",
                                            "env",
                                            "cwd",
                                            "capabilities",
                                            "bounding",
                                            "rlimits",
                                            "uidMappings",
                                            "containerID",
                                            "hostID",
                                            "size",
                                            "sysctl",
                                            "hooks",
                                            "bind",
                                            "rbind",
                                            "ro",
                                            "rro",
                                            "nosuid",
                                            "tmpfs",
                                            "overlay",
                                            "lowerdir=/a:/b",
                                            "subpath=x",
                                            "tmpcopyup",
                                            "rprivate",
                                            "rslave",
                                            "mode=0777",
                                            "size=64m",
                                            "/dev",
                                            "/proc",
                                            "/sys",
                                            "..",
                                            "//",
                                            "proc",
                                            "fuse-overlayfs"};
  const std::string root = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n";
  return {
      {.name = "user",
       .run = user,
       .dictionary = {root, "root", "web", "nobody", ":", "0", "1000", "2147483647", "2147483648",
                      "4294967295", "4294967296", "-1", "#", "\r\n", std::string(1, '\0'),
                      joined({"web:web", root, "web:x:1000:web\n"})},
       .largest = 1024,
       .inputs = 100'000},
      {.name = "seccomp",
       .run = seccomp,
       .dictionary = seccomp_words,
       .mutate = json_mutator(seccomp_words),
       .inputs = 20'000},
      {.name = "kernel",
       .run = kernel,
       .dictionary = {".", "-", "+", "6.18.3-amd64", "4294967296"},
       .largest = 64,
       .inputs = 200'000},
      {.name = "oci_spec",
       .run = oci_spec,
       .dictionary = spec_words,
       .mutate = json_mutator(spec_words),
       .inputs = 15'000},
      {.name = "yaml",
       .run = yaml,
       .dictionary = {"cdiVersion: 0.6.0\n",
                      "kind: a.com/b\n",
                      "devices:\n",
                      "- name: d\n",
                      "  containerEdits:\n",
                      "    env: [\"A=b\"]\n",
                      "deviceNodes",
                      "path",
                      "hostPath",
                      "mounts",
                      "hooks",
                      "hookName",
                      "createContainer",
                      "startContainer",
                      "options",
                      "permissions",
                      "additionalGids",
                      "timeout",
                      "&a",
                      "*a",
                      "<<:",
                      "!!str",
                      "|",
                      ">",
                      "---",
                      "...",
                      "%YAML 1.2",
                      "0x",
                      "0o",
                      "~",
                      "- ",
                      "? ",
                      ": ",
                      "{",
                      "}",
                      "[",
                      "]",
                      "#",
                      "\"",
                      "'",
                      "\t",
                      "\xef\xbb\xbf",
                      "\xff\xfe"},
       .largest = 2048,
       .inputs = 40'000},
      {.name = "network_files",
       .run = network_files,
       .dictionary = {"nameserver 127.0.0.53\n", "search a b\n", "options ndots:1\n",
                      "127.0.0.1 localhost\n", "\n", "host:host-gateway", "a=[::1]",
                      std::string(1, '\0'), "#", "\t"},
       .largest = 1024,
       .inputs = 50'000},
      {.name = "sub_ids",
       .run = sub_ids,
       .dictionary = {"web:100000:65536\n", ":", "\n", std::string(1, '\0'), "4294967295",
                      "18446744073709551615"},
       .largest = 512,
       .inputs = 150'000},
  };
}

}  // namespace coracle::fuzz
