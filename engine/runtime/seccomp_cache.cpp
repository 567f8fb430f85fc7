#include "engine/runtime/seccomp_cache.hpp"

#include <array>
#include <cstring>
#include <string_view>

#include <seccomp.h>

#include "engine/base/file.hpp"
#include "engine/base/path.hpp"

namespace coracle::runtime {
namespace {

struct Header {
  std::array<char, 8> magic;
  std::uint32_t flags;
  std::uint32_t instructions;
  std::uint64_t key_length;
  std::uint64_t check_sum;
};
constexpr std::array<char, 8> kMagic = {'C', 'O', 'R', 'A', 'B', 'P', 'F', '1'};
constexpr std::size_t kCachedFilterLimit = std::size_t{1} << 20;

// FNV-1a, 64 bits.
std::uint64_t hash_of(std::string_view bytes) {
  std::uint64_t h = 0xcbf29ce484222325U;
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return h;
}

std::string full_key(const std::string& key) {
  const auto* v = ::seccomp_version();
  return fmt::format("{}.{}.{} {}", v->major, v->minor, v->micro, key);
}

std::string path_of(const std::string& dir, const std::string& key) {
  return join_path(dir, fmt::format("{:016x}.bpf", hash_of(key)));
}

}  // namespace

std::optional<SeccompFilter> read_cached_filter(const std::string& dir, const std::string& key) {
  const std::string whole = full_key(key);
  const auto file = read_file(path_of(dir, whole), kCachedFilterLimit);
  Header h{};
  if (!file || file->size() < sizeof h) return std::nullopt;
  std::memcpy(&h, file->data(), sizeof h);
  const std::string_view body = std::string_view(*file).substr(sizeof h);
  const std::size_t code = std::size_t{h.instructions} * sizeof(sock_filter);
  if (h.magic != kMagic || h.instructions == 0 || h.instructions > BPF_MAXINSNS ||
      h.key_length != whole.size() || body.size() != whole.size() + code ||
      h.check_sum != hash_of(body) || body.substr(0, whole.size()) != whole)
    return std::nullopt;
  SeccompFilter filter;
  filter.flags = h.flags;
  filter.program.resize(h.instructions);
  std::memcpy(filter.program.data(), body.data() + whole.size(), code);
  return filter;
}

void write_cached_filter(const std::string& dir, const std::string& key,
                         const SeccompFilter& filter) {
  const std::string whole = full_key(key);
  const std::size_t code = filter.program.size() * sizeof(sock_filter);
  std::string body = whole;
  body.resize(whole.size() + code);
  std::memcpy(body.data() + whole.size(), filter.program.data(), code);
  const Header h{kMagic, filter.flags, static_cast<std::uint32_t>(filter.program.size()),
                 whole.size(), hash_of(body)};
  std::string file(sizeof h, '\0');
  std::memcpy(file.data(), &h, sizeof h);
  if (!make_dirs(dir)) return;
  (void)write_file_atomic(path_of(dir, whole), file + body, 0600, Durability::unsynced);
}

}  // namespace coracle::runtime
