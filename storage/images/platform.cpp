#include "storage/images/platform.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/base/text.hpp"

namespace coracle::storage {
namespace {

// Go's, which containerd knows (platforms/database.go).
constexpr std::array<std::string_view, 17> kSystems = {
    "aix",   "android", "darwin", "dragonfly", "freebsd", "hurd",    "illumos", "ios", "js",
    "linux", "nacl",    "netbsd", "openbsd",   "plan9",   "solaris", "windows", "zos"};
constexpr std::array<std::string_view, 24> kArchitectures = {
    "386",     "amd64",   "amd64p32", "arm",    "armbe",  "arm64",    "arm64be",   "ppc64",
    "ppc64le", "loong64", "mips",     "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le",
    "ppc",     "riscv",   "riscv64",  "s390",   "s390x",  "sparc",    "sparc64",   "wasm"};

std::string architecture_name(const std::string& name) {
  if (name == "x86_64" || name == "x86-64") return "amd64";
  if (name == "aarch64") return "arm64";
  if (name == "i386" || name == "i686") return "386";
  if (name.starts_with("armv") || name == "armhf" || name == "armel") return "arm";
  if (name == "loongarch64") return "loong64";
  return name;
}

// The variant that says nothing beyond the architecture is left out.
std::string variant_name(const std::string& architecture, const std::string& variant) {
  if (architecture == "arm64" && (variant == "v8" || variant == "8" || variant == "v8.0"))
    return "";
  if (architecture == "amd64" && variant == "v1") return "";
  if (architecture == "arm") {
    if (variant.empty()) return "v7";
    if (!variant.starts_with('v')) return "v" + variant;
  }
  return variant;
}

bool is_component(std::string_view part, std::string_view marks) {
  return !part.empty() && std::ranges::all_of(part, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           marks.find(c) != std::string_view::npos;
  });
}

// "windows(10.0.17763)": the version is of no use to an image for Linux.
bool is_system(std::string_view part) {
  const auto open = part.find('(');
  if (open == std::string_view::npos) return is_component(part, "_-");
  const auto version = part.substr(open + 1);
  return is_component(part.substr(0, open), "_-") && version.ends_with(')') &&
         (version.size() == 1 || is_component(version.substr(0, version.size() - 1), "_.-"));
}

std::unexpected<Error> bad(const std::string& text, std::string_view why) {
  return fail(Errc::invalid_argument, "\"{}\": {}: invalid argument", text, why);
}

}  // namespace

Result<Platform> parse_platform(const std::string& text) {
  Platform p;
  if (text.empty()) return p;
  const auto parts = split(text, '/');
  if (parts.size() > 3) return bad(text, "cannot parse platform specifier");
  if (!is_system(parts[0])) return bad(text, "invalid OS component");
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (!is_component(parts[i], "_.-")) return bad(text, "invalid component");
  }
  p.os = lower(parts[0].substr(0, parts[0].find('(')));
  if (p.os == "macos") p.os = "darwin";
  if (parts.size() == 1) {
    if (std::ranges::find(kSystems, p.os) != kSystems.end()) return p;
    // Only an architecture: armhf and armel say the variant, too.
    p.variant = p.os == "armel" ? "v6" : "";
    p.architecture = architecture_name(p.os);
    p.os = "linux";
    if (std::ranges::find(kArchitectures, p.architecture) == kArchitectures.end())
      return bad(text, "unknown operating system or architecture");
    return p;
  }
  const auto architecture = lower(parts[1]);
  p.architecture = architecture_name(architecture);
  p.variant = architecture == "armel" ? "v6" : "";
  if (parts.size() > 2) p.variant = lower(parts[2]);
  return p;
}

std::string platform_text(const Platform& platform) {
  std::string out = platform.os;
  for (const auto& part : {platform.architecture, platform.variant}) {
    if (!part.empty()) out += "/" + part;
  }
  return out;
}

Platform resolve_platform(const Platform& wanted) {
  utsname host{};
  ::uname(&host);
  Platform out;
  out.os = wanted.os.empty() ? "linux" : wanted.os;
  const std::string machine = static_cast<const char*>(host.machine);
  std::string variant = wanted.variant;
  if (wanted.architecture.empty() && variant.empty() && machine.starts_with("armv"))
    variant = machine.substr(3, 2);
  out.architecture = architecture_name(wanted.architecture.empty() ? machine : wanted.architecture);
  out.variant = variant_name(out.architecture, variant);
  return out;
}

int fitness(const Platform& has, const Platform& wanted) {
  const auto architecture = architecture_name(has.architecture);
  if (has.os != wanted.os || architecture != wanted.architecture) return 0;
  const auto variant = variant_name(architecture, has.variant);
  if (variant == wanted.variant) return 1000;
  if (variant.empty()) return 1;
  const std::string most = wanted.variant.empty() ? "v1" : wanted.variant;
  if (architecture == "arm64" && wanted.variant.empty()) return 0;  // v9 and the like
  if (variant.size() == most.size() && variant < most) return 1 + variant.back() - '0';
  return 0;
}

bool serves(const Platform& has, const Platform& wanted) {
  const auto full = resolve_platform(wanted);
  const auto own = resolve_platform(has);
  if (has.variant.empty()) return own.os == full.os && own.architecture == full.architecture;
  return fitness(own, full) > 0;
}

bool is_same(const Platform& a, const Platform& b) {
  const auto one = resolve_platform(a);
  const auto other = resolve_platform(b);
  return one.os == other.os && one.architecture == other.architecture &&
         one.variant == other.variant;
}

Platform platform_of(const Image& image) { return {image.os, image.architecture, image.variant}; }

Result<> check_platform(const Image& image, const std::string& name, const Platform& wanted) {
  const auto has = platform_of(image);
  if (serves(has, wanted)) return {};
  auto asked = wanted;
  if (asked.architecture.empty()) asked.architecture = resolve_platform(wanted).architecture;
  // As Docker: a name that is written in full is told in short.
  const auto reference = parse_reference(name, false);
  const bool full = reference && name.starts_with(canonical_name(*reference));
  return fail(
      Errc::not_found,
      "image with reference {} was found but its platform ({}) does not match the specified "
      "platform ({})",
      full ? reference->familiar() : name, platform_text(has), platform_text(asked));
}

}  // namespace coracle::storage
