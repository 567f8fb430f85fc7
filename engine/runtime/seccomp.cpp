#include "engine/runtime/seccomp.hpp"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include <seccomp.h>

#include "engine/base/fd.hpp"
#include "engine/base/json.hpp"
#include "engine/runtime/seccomp_cache.hpp"

namespace coracle::runtime {
namespace {

struct Release {
  void operator()(void* context) const { ::seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

// An architecture as the profile, libseccomp and the kernel's audit number know it.
struct Arch {
  std::string_view name;  // behind SCMP_ARCH_
  std::uint32_t token;    // libseccomp
  std::uint32_t audit;    // what the filter sees; 0: numbers differ from the common table
};
constexpr std::array kArches = {
    Arch{"X86", SCMP_ARCH_X86, AUDIT_ARCH_I386},
    Arch{"X86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64},
    Arch{"X32", SCMP_ARCH_X32, 0},
    Arch{"ARM", SCMP_ARCH_ARM, AUDIT_ARCH_ARM},
    Arch{"AARCH64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64},
    Arch{"MIPS", SCMP_ARCH_MIPS, 0},
    Arch{"MIPS64", SCMP_ARCH_MIPS64, 0},
    Arch{"MIPS64N32", SCMP_ARCH_MIPS64N32, 0},
    Arch{"MIPSEL", SCMP_ARCH_MIPSEL, 0},
    Arch{"MIPSEL64", SCMP_ARCH_MIPSEL64, 0},
    Arch{"MIPSEL64N32", SCMP_ARCH_MIPSEL64N32, 0},
    Arch{"PPC", SCMP_ARCH_PPC, AUDIT_ARCH_PPC},
    Arch{"PPC64", SCMP_ARCH_PPC64, AUDIT_ARCH_PPC64},
    Arch{"PPC64LE", SCMP_ARCH_PPC64LE, AUDIT_ARCH_PPC64LE},
    Arch{"S390", SCMP_ARCH_S390, AUDIT_ARCH_S390},
    Arch{"S390X", SCMP_ARCH_S390X, AUDIT_ARCH_S390X},
    Arch{"RISCV64", SCMP_ARCH_RISCV64, AUDIT_ARCH_RISCV64},
};

// System calls newer than libseccomp 2.5.4. From 403 on a number is the same on all architectures
// of the common table (include/uapi/asm-generic/unistd.h), except mips and x32.
constexpr std::array kNewCalls = {
    std::pair{"cachestat", 451},         std::pair{"fchmodat2", 452},
    std::pair{"map_shadow_stack", 453},  std::pair{"futex_wake", 454},
    std::pair{"futex_wait", 455},        std::pair{"futex_requeue", 456},
    std::pair{"statmount", 457},         std::pair{"listmount", 458},
    std::pair{"lsm_get_self_attr", 459}, std::pair{"lsm_set_self_attr", 460},
    std::pair{"lsm_list_modules", 461},  std::pair{"mseal", 462},
    std::pair{"setxattrat", 463},        std::pair{"getxattrat", 464},
    std::pair{"listxattrat", 465},       std::pair{"removexattrat", 466},
    std::pair{"open_tree_attr", 467},    std::pair{"file_getattr", 468},
    std::pair{"file_setattr", 469},
};
// On x86-64 only; stands outside the common table.
constexpr std::pair kUretprobe = {"uretprobe", 335};

Result<std::uint32_t> action_of(const std::string& name, std::optional<std::uint32_t> errno_ret) {
  const std::uint32_t error = errno_ret.value_or(EPERM) & 0xffffU;
  const std::map<std::string_view, std::uint32_t> actions = {
      {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
      {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
      {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
      {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
      {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(error)},
      {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(error)},
      {"SCMP_ACT_LOG", SCMP_ACT_LOG},
      {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW}};
  const auto found = actions.find(name);
  if (found == actions.end())
    return fail(Errc::invalid_argument, "seccomp: unknown action {}", name);
  return found->second;
}

Result<scmp_arg_cmp> comparison_of(const oci::SeccompArg& arg) {
  constexpr std::array kOps = {std::pair{"SCMP_CMP_NE", SCMP_CMP_NE},
                               std::pair{"SCMP_CMP_LT", SCMP_CMP_LT},
                               std::pair{"SCMP_CMP_LE", SCMP_CMP_LE},
                               std::pair{"SCMP_CMP_EQ", SCMP_CMP_EQ},
                               std::pair{"SCMP_CMP_GE", SCMP_CMP_GE},
                               std::pair{"SCMP_CMP_GT", SCMP_CMP_GT},
                               std::pair{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  const auto op = std::ranges::find_if(kOps, [&](const auto& o) { return arg.op == o.first; });
  if (op == kOps.end()) return fail(Errc::invalid_argument, "seccomp: unknown operator {}", arg.op);
  constexpr std::uint32_t kArguments = 6;
  if (arg.index >= kArguments)
    return fail(Errc::invalid_argument, "seccomp: argument index {}: there are {}", arg.index,
                kArguments);
  return scmp_arg_cmp{arg.index, op->second, arg.value, arg.value_two};
}

Result<const Arch*> arch_of(const std::string& name) {
  constexpr std::string_view kPrefix = "SCMP_ARCH_";
  if (name.starts_with(kPrefix)) {
    const auto short_name = std::string_view(name).substr(kPrefix.size());
    const auto found =
        std::ranges::find_if(kArches, [&](const Arch& a) { return a.name == short_name; });
    if (found != kArches.end()) return &*found;
  }
  return fail(Errc::invalid_argument, "seccomp: unknown architecture {}", name);
}

Result<std::vector<const Arch*>> arches_of(const oci::Seccomp& profile) {
  std::vector<const Arch*> out;
  for (const auto& name : profile.architectures) {
    TRY(const auto* arch, arch_of(name));
    out.push_back(arch);
  }
  if (!out.empty()) return out;
  const auto native = ::seccomp_arch_native();
  for (const auto& a : kArches)
    if (a.token == native) out.push_back(&a);
  return out;
}

Result<std::uint32_t> flags_of(const oci::Seccomp& profile) {
  std::uint32_t flags = 0;
  for (const auto& name : profile.flags) {
    if (name == "SECCOMP_FILTER_FLAG_LOG") {
      flags |= SECCOMP_FILTER_FLAG_LOG;
    } else if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
      flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    } else if (name != "SECCOMP_FILTER_FLAG_TSYNC") {  // one thread: nothing to synchronise
      return fail(Errc::invalid_argument, "seccomp: unknown flag {}", name);
    }
  }
  return flags;
}

Result<> add_rule(void* context, const oci::SeccompRule& rule, std::uint32_t action) {
  std::vector<scmp_arg_cmp> args;
  std::uint32_t seen = 0;
  bool repeated = false;
  for (const auto& a : rule.args) {
    TRY(const auto comparison, comparison_of(a));
    repeated = repeated || (seen >> a.index & 1U) != 0;
    seen |= 1U << a.index;
    args.push_back(comparison);
  }
  for (const auto& name : rule.names) {
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) continue;  // unknown here: the stub's, or not on this machine
    int r = 0;
    if (repeated) {
      // libseccomp takes one condition per argument; several of one mean "any of them", as in runc.
      for (const auto& one : args)
        if (const int e = ::seccomp_rule_add_array(context, action, number, 1, &one); e != 0) r = e;
    } else {
      r = ::seccomp_rule_add_array(context, action, number, static_cast<unsigned>(args.size()),
                                   args.data());
    }
    if (r != 0 && r != -EEXIST) return sys_error_of(-r, "seccomp: add the rule for {}", name);
  }
  return {};
}

Result<std::vector<sock_filter>> export_program(void* context) {
  const UniqueFd file(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return sys_error("seccomp: memfd_create");
  if (const int r = ::seccomp_export_bpf(context, file.get()); r != 0)
    return sys_error_of(-r, "seccomp: export the filter");
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<std::size_t>(size) / sizeof(sock_filter));
  const auto bytes = program.size() * sizeof(sock_filter);
  if (::pread(file.get(), program.data(), bytes, 0) != static_cast<ssize_t>(bytes))
    return sys_error("seccomp: read the filter back");
  return program;
}

Result<std::vector<sock_filter>> library_program(const oci::Seccomp& profile,
                                                 const std::vector<const Arch*>& arches,
                                                 std::uint32_t default_action) {
  const Context context(::seccomp_init(default_action));
  if (!context) return fail(Errc::internal, "seccomp: cannot make a filter");
  const auto native = ::seccomp_arch_native();
  bool has_native = false;
  for (const auto* arch : arches) {
    has_native = has_native || arch->token == native;
    if (const int r = ::seccomp_arch_add(context.get(), arch->token); r != 0 && r != -EEXIST)
      return sys_error_of(-r, "seccomp: architecture {}", arch->name);
  }
  if (!has_native) ::seccomp_arch_remove(context.get(), native);
  constexpr std::uint32_t kBinaryTree = 2;  // seccomp_attr_set(3), SCMP_FLTATR_CTL_OPTIMIZE
  if (const int r = ::seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree);
      r != 0)
    return sys_error_of(-r, "seccomp: order the filter as a tree");
  for (const auto& rule : profile.syscalls) {
    TRY(const auto action, action_of(rule.action, rule.errno_ret));
    if (action == default_action) continue;  // libseccomp refuses what says nothing new
    CHECK(add_rule(context.get(), rule, action));
  }
  return export_program(context.get());
}

struct NewRule {
  std::uint32_t number;
  std::uint32_t action;
};

// The rules for calls that the library does not know, and the highest number that is named.
struct Additions {
  std::vector<NewRule> rules;
  std::uint32_t highest = 0;
};
Result<Additions> additions(const oci::Seccomp& profile, const Arch& arch) {
  Additions out;
  const auto take = [&](const std::string& name, const oci::SeccompRule& rule,
                        std::uint32_t action) {
    const int known = ::seccomp_syscall_resolve_name_arch(arch.token, name.c_str());
    if (known >= 0) {
      out.highest = std::max(out.highest, static_cast<std::uint32_t>(known));
      return;
    }
    if (known != __NR_SCMP_ERROR) return;  // not on this architecture
    const auto add = [&](int number) {
      const auto n = static_cast<std::uint32_t>(number);
      out.highest = std::max(out.highest, n);
      if (rule.args.empty()) out.rules.push_back({n, action});
    };
    for (const auto& [new_name, number] : kNewCalls)
      if (name == new_name) add(number);
    if (arch.token == SCMP_ARCH_X86_64 && name == kUretprobe.first) add(kUretprobe.second);
  };
  for (const auto& rule : profile.syscalls) {
    TRY(const auto action, action_of(rule.action, rule.errno_ret));
    for (const auto& name : rule.names) take(name, rule, action);
  }
  return out;
}

constexpr std::uint32_t kNumberOffset = offsetof(seccomp_data, nr);
constexpr std::uint32_t kArchOffset = offsetof(seccomp_data, arch);
constexpr std::uint32_t kX32Bit = 0x40000000U;

sock_filter statement(int code, std::uint32_t k) {
  return {static_cast<std::uint16_t>(code), 0, 0, k};
}
sock_filter jump(int code, std::uint32_t k, std::size_t yes, std::size_t no) {
  return {static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(yes),
          static_cast<std::uint8_t>(no), k};
}

// One architecture's part of the stub: entered with its number checked, left to what follows.
std::vector<sock_filter> stub_block(const Additions& what, bool newer_is_unknown, bool x86_64) {
  std::vector<sock_filter> out{statement(BPF_LD | BPF_W | BPF_ABS, kNumberOffset)};
  const std::size_t rules = what.rules.size() * 2;
  const std::size_t rest = rules + (newer_is_unknown ? 2 : 0);
  if (x86_64) out.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, rest, 0));
  for (const auto& r : what.rules) {
    out.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, r.number, 0, 1));
    out.push_back(statement(BPF_RET | BPF_K, r.action));
  }
  if (newer_is_unknown) {
    out.push_back(jump(BPF_JMP | BPF_JGT | BPF_K, what.highest, 0, 1));
    out.push_back(statement(BPF_RET | BPF_K, SCMP_ACT_ERRNO(ENOSYS)));
  }
  return out;
}

Result<std::vector<sock_filter>> stub(const oci::Seccomp& profile,
                                      const std::vector<const Arch*>& arches,
                                      std::uint32_t default_action) {
  // A default that lets calls through needs no ENOSYS, nor does one that says it.
  const bool newer_is_unknown = default_action != SCMP_ACT_ALLOW &&
                                default_action != SCMP_ACT_LOG &&
                                default_action != SCMP_ACT_ERRNO(ENOSYS);
  std::vector<sock_filter> out;
  constexpr std::size_t kFarthest = 255;
  for (const auto* arch : arches) {
    if (arch->audit == 0) continue;
    TRY(const auto what, additions(profile, *arch));
    auto block = stub_block(what, newer_is_unknown, arch->token == SCMP_ARCH_X86_64);
    if (block.size() > kFarthest)
      return fail(Errc::invalid_argument, "seccomp: more than {} rules for new system calls",
                  what.rules.size());
    out.push_back(statement(BPF_LD | BPF_W | BPF_ABS, kArchOffset));
    out.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, arch->audit, 0, block.size()));
    out.insert(out.end(), block.begin(), block.end());
  }
  return out;
}

}  // namespace

Result<SeccompFilter> compile_seccomp(const oci::Seccomp& profile) {
  SeccompFilter filter;
  TRY(filter.flags, flags_of(profile));
  TRY(const auto default_action, action_of(profile.default_action, profile.default_errno_ret));
  TRY(const auto arches, arches_of(profile));
  TRY(filter.program, stub(profile, arches, default_action));
  TRY(const auto main, library_program(profile, arches, default_action));
  filter.program.insert(filter.program.end(), main.begin(), main.end());
  if (filter.program.size() > BPF_MAXINSNS)
    return fail(Errc::invalid_argument,
                "seccomp: the filter has {} instructions, the kernel takes {}",
                filter.program.size(), BPF_MAXINSNS);
  return filter;
}

Result<SeccompFilter> seccomp_filter(const oci::Seccomp& profile, const std::string& cache_dir) {
  if (cache_dir.empty()) return compile_seccomp(profile);
  const std::string key = json::to_text(profile);
  if (auto cached = read_cached_filter(cache_dir, key)) return *std::move(cached);
  TRY(auto filter, compile_seccomp(profile));
  write_cached_filter(cache_dir, key, filter);
  return filter;
}

Result<> load_seccomp(const SeccompFilter& filter) {
  // The kernel takes a pointer to mutable instructions, and does not write. See seccomp(2).
  const sock_fprog program{static_cast<unsigned short>(filter.program.size()),
                           const_cast<sock_filter*>(filter.program.data())};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter.flags, &program) != 0)
    return sys_error("load the seccomp filter");
  return {};
}

}  // namespace coracle::runtime
