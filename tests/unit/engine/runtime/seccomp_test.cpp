// The filter against the profile it was made from: both are interpreted on the same random calls.
#include "engine/runtime/seccomp.hpp"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <map>
#include <random>

#include <gtest/gtest.h>
#include <seccomp.h>

#include "engine/base/file.hpp"
#include "engine/runtime/seccomp_cache.hpp"
#include "engine/spec/seccomp_profile.hpp"

namespace coracle::runtime {
namespace {

// Classic BPF, as far as seccomp filters use it. See Documentation/networking/filter.rst.
std::uint32_t interpret(const std::vector<sock_filter>& program, const seccomp_data& data) {
  std::uint32_t a = 0;
  std::array<std::uint32_t, BPF_MEMWORDS> memory{};
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    const auto& i = program[pc];
    const auto branch = [&](bool yes) { pc += yes ? i.jt : i.jf; };
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, sizeof a);
        break;
      case BPF_LD | BPF_MEM: a = memory.at(i.k); break;
      case BPF_ST: memory.at(i.k) = a; break;
      case BPF_ALU | BPF_AND | BPF_K: a &= i.k; break;
      case BPF_JMP | BPF_JA: pc += i.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: branch(a == i.k); break;
      case BPF_JMP | BPF_JGT | BPF_K: branch(a > i.k); break;
      case BPF_JMP | BPF_JGE | BPF_K: branch(a >= i.k); break;
      case BPF_JMP | BPF_JSET | BPF_K: branch((a & i.k) != 0); break;
      case BPF_RET | BPF_K: return i.k;
      default: ADD_FAILURE() << "unknown instruction " << i.code; return 0;
    }
  }
  ADD_FAILURE() << "ran off the end";
  return 0;
}

struct Machine {
  std::uint32_t token;
  std::uint32_t audit;
  bool x32;
};
constexpr std::array kMachines = {Machine{SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, false},
                                  Machine{SCMP_ARCH_X86, AUDIT_ARCH_I386, false},
                                  Machine{SCMP_ARCH_X32, AUDIT_ARCH_X86_64, true}};
constexpr std::uint32_t kX32Bit = 0x40000000;

bool holds(const oci::SeccompArg& a, std::uint64_t value) {
  if (a.op == "SCMP_CMP_EQ") return value == a.value;
  if (a.op == "SCMP_CMP_NE") return value != a.value;
  if (a.op == "SCMP_CMP_MASKED_EQ") return (value & a.value) == a.value_two;
  ADD_FAILURE() << "the test does not know " << a.op;
  return false;
}

// What the profile says, read rule by rule with no help of libseccomp's but the names.
class Reading {
 public:
  explicit Reading(const oci::Seccomp& profile) {
    for (const auto& machine : kMachines)
      for (const auto& rule : profile.syscalls)
        for (const auto& name : rule.names) {
          int n = ::seccomp_syscall_resolve_name_arch(machine.token, name.c_str());
          if (n == __NR_SCMP_ERROR && !machine.x32) n = newer(machine, name);
          // libseccomp gives a pseudo number to what i386 has in socketcall and ipc as well.
          if (n < 0 && machine.token == SCMP_ARCH_X86) n = direct_on_i386(name);
          if (n < 0) continue;
          rules_[{machine.token, static_cast<std::uint32_t>(n)}].push_back(&rule);
          auto& highest = highest_[machine.token];
          highest = std::max(highest, static_cast<std::uint32_t>(n));
        }
  }
  std::uint32_t operator()(const Machine& machine, const seccomp_data& d) const {
    const auto found = rules_.find({machine.token, static_cast<std::uint32_t>(d.nr)});
    if (found != rules_.end())
      for (const auto* rule : found->second) {
        bool all = true;
        for (const auto& a : rule->args) all = all && holds(a, d.args[a.index]);
        if (!all) continue;
        return rule->action == "SCMP_ACT_ALLOW" ? SECCOMP_RET_ALLOW
                                                : SECCOMP_RET_ERRNO | rule->errno_ret.value_or(1);
      }
    const bool unknown =
        !machine.x32 &&
        static_cast<std::uint32_t>(d.nr)<kX32Bit&& static_cast<std::uint32_t>(d.nr)> highest_.at(
            machine.token);
    return SECCOMP_RET_ERRNO | (unknown ? std::uint32_t{ENOSYS} : 1U);
  }

 private:
  // From linux/arch/x86/entry/syscalls/syscall_32.tbl.
  static int direct_on_i386(const std::string& name) {
    static const std::map<std::string, int> calls = {
        {"socket", 359},      {"socketpair", 360},  {"bind", 361},       {"connect", 362},
        {"listen", 363},      {"accept4", 364},     {"getsockopt", 365}, {"setsockopt", 366},
        {"getsockname", 367}, {"getpeername", 368}, {"sendto", 369},     {"sendmsg", 370},
        {"recvfrom", 371},    {"recvmsg", 372},     {"shutdown", 373},   {"semget", 393},
        {"semctl", 394},      {"shmget", 395},      {"shmctl", 396},     {"shmat", 397},
        {"shmdt", 398},       {"msgget", 399},      {"msgsnd", 400},     {"msgrcv", 401},
        {"msgctl", 402},      {"recvmmsg", 337},    {"sendmmsg", 345}};
    if (const auto found = calls.find(name); found != calls.end()) return found->second;
    return newer({SCMP_ARCH_X86, AUDIT_ARCH_I386, false}, name);
  }
  static int newer(const Machine& machine, const std::string& name) {
    const std::map<std::string, int> calls = {
        {"cachestat", 451},       {"fchmodat2", 452},         {"map_shadow_stack", 453},
        {"futex_wake", 454},      {"futex_wait", 455},        {"futex_requeue", 456},
        {"statmount", 457},       {"listmount", 458},         {"mseal", 462},
        {"setxattrat", 463},      {"getxattrat", 464},        {"listxattrat", 465},
        {"removexattrat", 466},   {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460},
        {"lsm_list_modules", 461}};
    if (name == "uretprobe" && machine.token == SCMP_ARCH_X86_64) return 335;
    const auto found = calls.find(name);
    return found == calls.end() ? -1 : found->second;
  }
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<const oci::SeccompRule*>> rules_;
  std::map<std::uint32_t, std::uint32_t> highest_;
};

oci::Seccomp docker_profile(std::set<std::string> capabilities) {
  SeccompTarget target{std::move(capabilities), "amd64", {6, 18}};
  auto profile = resolve_seccomp_profile(default_seccomp_profile(), target);
  EXPECT_TRUE(profile);
  return *profile;
}

void compare(const oci::Seccomp& profile, int calls) {
  const auto filter = compile_seccomp(profile);
  ASSERT_TRUE(filter) << filter.error().message;
  EXPECT_LE(filter->program.size(), std::size_t{BPF_MAXINSNS});
  const Reading reading(profile);
  std::mt19937_64 random(20261125);
  // Values at the edges of the profile's conditions, and any.
  constexpr std::array<std::uint64_t, 12> kEdges = {
      0,  8,  0x20000,    0x20008,    0xffffffff, 40,
      39, 41, 0x7e020000, 0x02000000, 0x00020000, 0x100000000};
  for (int i = 0; i < calls; ++i) {
    const auto& machine = kMachines[random() % kMachines.size()];
    seccomp_data d{};
    d.arch = machine.audit;
    d.nr = static_cast<int>(random() % 600);
    if (machine.x32) d.nr |= static_cast<int>(kX32Bit);
    for (auto& a : d.args) a = random() % 2 == 0 ? kEdges[random() % kEdges.size()] : random();
    // i386 has 32-bit registers; on x32 libseccomp looks at the low halves only.
    if (machine.token != SCMP_ARCH_X86_64)
      for (auto& a : d.args) a &= 0xffffffffU;
    ASSERT_EQ(interpret(filter->program, d), reading(machine, d))
        << "call " << d.nr << " arch " << d.arch << " args " << d.args[0] << " " << d.args[1];
  }
}

TEST(Seccomp, FilterAnswersAsTheDefaultProfileReads) {
  compare(docker_profile({"CAP_CHOWN", "CAP_SYS_CHROOT"}), 200000);
}

TEST(Seccomp, FilterAnswersAsTheProfileReadsWithMoreCapabilities) {
  compare(docker_profile({"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF"}), 100000);
}

TEST(Seccomp, FilterKillsAnotherArchitecture) {
  const auto filter = compile_seccomp(docker_profile({}));
  seccomp_data d{};
  d.arch = AUDIT_ARCH_AARCH64;
  EXPECT_EQ(interpret(filter->program, d), std::uint32_t{SECCOMP_RET_KILL_THREAD});
}

TEST(Seccomp, RefusesWhatItDoesNotKnow) {
  oci::Seccomp p{"SCMP_ACT_MAYBE", {}, {}, {}, {}};
  EXPECT_EQ(compile_seccomp(p).error().code, Errc::invalid_argument);
  p.default_action = "SCMP_ACT_ALLOW";
  EXPECT_TRUE(compile_seccomp(p));
  p.architectures = {"SCMP_ARCH_Z80"};
  EXPECT_EQ(compile_seccomp(p).error().code, Errc::invalid_argument);
  p.architectures = {};
  p.flags = {"SECCOMP_FILTER_FLAG_ODD"};
  EXPECT_EQ(compile_seccomp(p).error().code, Errc::invalid_argument);
}

TEST(SeccompCache, GivesBackWhatWasWrittenAndIgnoresDamage) {
  std::string dir = "/tmp/coracle-seccomp-XXXXXX";
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  const SeccompFilter filter{{{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}, 4};
  EXPECT_FALSE(read_cached_filter(dir, "key"));
  write_cached_filter(dir, "key", filter);
  const auto back = read_cached_filter(dir, "key");
  ASSERT_TRUE(back);
  EXPECT_EQ(back->flags, 4U);
  EXPECT_EQ(back->program.size(), 1U);
  EXPECT_FALSE(read_cached_filter(dir, "other"));
  const auto names = list_dir(dir);
  ASSERT_EQ(names->size(), 1U);
  const std::string path = dir + "/" + names->front();
  auto text = *read_file(path);
  text.back() = static_cast<char>(text.back() ^ 1);
  std::ofstream(path, std::ios::binary) << text;
  EXPECT_FALSE(read_cached_filter(dir, "key"));
  std::ofstream(path, std::ios::binary) << text.substr(0, 10);
  EXPECT_FALSE(read_cached_filter(dir, "key"));
  EXPECT_TRUE(remove_tree(dir));
}

}  // namespace
}  // namespace coracle::runtime
