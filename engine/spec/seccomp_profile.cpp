#include "engine/spec/seccomp_profile.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "engine/base/json.hpp"

// The profile is data: the assembler takes the file in as it is.
__asm__(
    ".pushsection .rodata\n"
    ".global coracle_default_seccomp_begin\n"
    ".global coracle_default_seccomp_end\n"
    "coracle_default_seccomp_begin:\n"
    ".incbin \"default_seccomp.json\"\n"
    "coracle_default_seccomp_end:\n"
    ".popsection\n");
extern "C" const char coracle_default_seccomp_begin[];
extern "C" const char coracle_default_seccomp_end[];

namespace coracle {

// The profile as Docker's JSON has it. See moby's documentation of --security-opt seccomp.
struct ProfileArch {
  std::string architecture;
  std::vector<std::string> sub_architectures;
};
void describe(auto& field, ProfileArch& a) {
  field("architecture", a.architecture)("subArchitectures", a.sub_architectures);
}

struct ProfileFilter {
  std::vector<std::string> caps, arches;
  std::string min_kernel;
};
void describe(auto& field, ProfileFilter& f) {
  field("caps", f.caps)("arches", f.arches)("minKernel", f.min_kernel);
}

struct ProfileRule {
  std::string name;
  oci::SeccompRule rule;
  ProfileFilter includes, excludes;
};
void describe(auto& field, ProfileRule& r) {
  describe(field, r.rule);
  field("name", r.name)("includes", r.includes)("excludes", r.excludes);
}

struct Profile {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<std::string> architectures;
  std::vector<ProfileArch> arch_map;
  std::vector<std::string> flags;
  std::string listener_path;
  std::vector<ProfileRule> syscalls;
};
void describe(auto& field, Profile& p) {
  field("defaultAction", p.default_action)("defaultErrnoRet", p.default_errno_ret)(
      "architectures", p.architectures)("archMap", p.arch_map)("flags", p.flags)(
      "listenerPath", p.listener_path)("syscalls", p.syscalls);
}

namespace {

struct Arch {
  const char* go;       // GOARCH
  const char* profile;  // in includes and excludes
  const char* seccomp;
};
constexpr std::array kArches = {
    Arch{"386", "x86", "SCMP_ARCH_X86"},
    Arch{"amd64", "amd64", "SCMP_ARCH_X86_64"},
    Arch{"arm", "arm", "SCMP_ARCH_ARM"},
    Arch{"arm64", "arm64", "SCMP_ARCH_AARCH64"},
    Arch{"mips64", "mips64", "SCMP_ARCH_MIPS64"},
    Arch{"mips64le", "mipsel64", "SCMP_ARCH_MIPSEL64"},
    Arch{"mipsle", "mipsel", "SCMP_ARCH_MIPSEL"},
    Arch{"ppc64", "ppc64", "SCMP_ARCH_PPC64"},
    Arch{"ppc64le", "ppc64le", "SCMP_ARCH_PPC64LE"},
    Arch{"riscv64", "riscv64", "SCMP_ARCH_RISCV64"},
    Arch{"s390x", "s390x", "SCMP_ARCH_S390X"},
};

const Arch* find_arch(const std::string& go) {
  const auto found = std::ranges::find_if(kArches, [&](const Arch& a) { return go == a.go; });
  return found == kArches.end() ? nullptr : &*found;
}

bool lists(const std::vector<std::string>& list, const std::string& what) {
  return std::ranges::find(list, what) != list.end();
}

Result<bool> applies(const ProfileRule& rule, const SeccompTarget& target,
                     const std::string& arch) {
  const auto has = [&](const std::string& cap) { return target.capabilities.contains(cap); };
  const auto& out = rule.excludes;
  if (lists(out.arches, arch) || std::ranges::any_of(out.caps, has)) return false;
  if (!out.min_kernel.empty()) {
    TRY(const auto least, parse_kernel_version(out.min_kernel));
    if (target.kernel >= least) return false;
  }
  const auto& in = rule.includes;
  if (!in.arches.empty() && !lists(in.arches, arch)) return false;
  if (!std::ranges::all_of(in.caps, has)) return false;
  if (!in.min_kernel.empty()) {
    TRY(const auto least, parse_kernel_version(in.min_kernel));
    if (target.kernel < least) return false;
  }
  return true;
}

}  // namespace

Result<KernelVersion> parse_kernel_version(std::string_view text) {
  KernelVersion v;
  const char* end = text.data() + text.size();
  const auto major = std::from_chars(text.data(), end, v.major);
  if (major.ec != std::errc{} || major.ptr == end || *major.ptr != '.')
    return fail(Errc::invalid_argument, "kernel version {}: expected <number>.<number>", text);
  const auto minor = std::from_chars(major.ptr + 1, end, v.minor);
  if (minor.ec != std::errc{})
    return fail(Errc::invalid_argument, "kernel version {}: expected <number>.<number>", text);
  return v;
}

SeccompTarget this_host() {
  SeccompTarget target;
  utsname name{};
  ::uname(&name);
  const std::string machine = name.machine;
  constexpr std::array<std::pair<const char*, const char*>, 4> kNames = {
      {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"i686", "386"}, {"armv7l", "arm"}}};
  target.arch = machine;  // riscv64, s390x, ppc64le are called the same
  for (const auto& [kernel_name, go] : kNames)
    if (machine == kernel_name) target.arch = go;
  if (auto v = parse_kernel_version(name.release)) target.kernel = *v;
  return target;
}

std::string_view default_seccomp_profile() {
  return {coracle_default_seccomp_begin,
          static_cast<std::size_t>(coracle_default_seccomp_end - coracle_default_seccomp_begin)};
}

Result<oci::Seccomp> resolve_seccomp_profile(std::string_view text, const SeccompTarget& target) {
  auto parsed = json::from_text<Profile>(text);
  if (!parsed)
    return std::unexpected(
        parsed.error().within("decoding seccomp profile failed").as(Errc::invalid_argument));
  const Profile& profile = *parsed;
  if (!profile.architectures.empty() && !profile.arch_map.empty())
    return fail(Errc::invalid_argument,
                "both 'architectures' and 'archMap' are specified in the seccomp profile, use "
                "either 'architectures' or 'archMap'");
  if (profile.default_action.empty())
    return fail(Errc::invalid_argument, "seccomp profile: defaultAction is missing");
  if (!profile.listener_path.empty())
    return fail(Errc::unsupported, "seccomp profile: listenerPath is not supported");

  const Arch* arch = find_arch(target.arch);
  const std::string arch_name = arch != nullptr ? arch->profile : target.arch;
  oci::Seccomp out{
      profile.default_action, profile.default_errno_ret, profile.architectures, profile.flags, {}};
  for (const auto& entry : profile.arch_map) {
    if (arch == nullptr || entry.architecture != arch->seccomp) continue;
    out.architectures.push_back(entry.architecture);
    out.architectures.insert(out.architectures.end(), entry.sub_architectures.begin(),
                             entry.sub_architectures.end());
    break;
  }
  for (std::size_t i = 0; i < profile.syscalls.size(); ++i) {
    const auto& rule = profile.syscalls[i];
    auto wanted = applies(rule, target, arch_name);
    if (!wanted) return std::unexpected(wanted.error().within("seccomp profile: syscalls[{}]", i));
    if (!*wanted) continue;
    oci::SeccompRule kept = rule.rule;
    if (!rule.name.empty()) {
      if (!kept.names.empty())
        return fail(Errc::invalid_argument,
                    "both 'name' and 'names' are specified in the seccomp profile, use either "
                    "'name' or 'names'");
      kept.names.push_back(rule.name);
    }
    out.syscalls.push_back(std::move(kept));
  }
  return out;
}

}  // namespace coracle
