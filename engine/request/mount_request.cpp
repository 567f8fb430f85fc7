#include "engine/request/mount_request.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/base/path.hpp"
#include "engine/base/text.hpp"

namespace coracle {
namespace {

using Words = std::initializer_list<std::string_view>;

constexpr std::array<std::string_view, 6> kPropagations = {"private", "rprivate", "slave",
                                                           "rslave",  "shared",   "rshared"};
// Flags that a tmpfs may be given, and options of its own.
constexpr std::array<std::string_view, 23> kTmpfsFlags = {
    "defaults", "ro",         "rw",          "suid",          "nosuid",   "dev",
    "nodev",    "exec",       "noexec",      "sync",          "async",    "dirsync",
    "mand",     "nomand",     "atime",       "noatime",       "diratime", "nodiratime",
    "relatime", "norelatime", "strictatime", "nostrictatime", "remount"};
constexpr std::array<std::string_view, 7> kTmpfsOptions = {"size",      "mode",      "uid", "gid",
                                                           "nr_inodes", "nr_blocks", "mpol"};

template <class List>
bool is_one_of(std::string_view word, const List& list) {
  return std::ranges::find(list, word) != std::end(list);
}

std::unexpected<Error> bad(const MountRequest& m, const std::string& why) {
  return fail(Errc::invalid_argument, "invalid mount config for type \"{}\": {}", m.type, why);
}

std::unexpected<Error> extra(const MountRequest& m, const char* field) {
  return bad(m, std::string("field ") + field + " must not be specified");
}

Result<> check_sections(const MountRequest& m) {
  if (m.bind && m.type != "bind") return extra(m, "BindOptions");
  if (m.volume && m.type != "volume") return extra(m, "VolumeOptions");
  if (m.image && m.type != "image") return extra(m, "ImageOptions");
  if (m.tmpfs && m.type != "tmpfs") return extra(m, "TmpfsOptions");
  return {};
}

// Relative, and not leading out as text; links are looked at when it is opened.
Result<> check_subpath(const MountRequest& m, const std::string& subpath) {
  int depth = 0;
  bool local = !subpath.starts_with('/');
  std::string part;
  for (const char c : subpath + "/") {
    if (c != '/') {
      part += c;
      continue;
    }
    if (part == "..") --depth;
    if (!part.empty() && part != "." && part != "..") ++depth;
    local = local && depth >= 0;
    part.clear();
  }
  if (!local) return bad(m, "subpath must be a relative path within the volume");
  return {};
}

Result<> read_bind(const MountRequest& m, MountRecord& out) {
  if (m.source.empty()) return bad(m, "field Source must not be empty");
  if (m.bind && !m.bind->propagation.empty() && !is_one_of(m.bind->propagation, kPropagations))
    return bad(m, "invalid propagation mode: " + m.bind->propagation);
  CHECK(check_sections(m));
  if (!m.source.starts_with('/'))
    return bad(m, "invalid mount path: '" + m.source + "' mount path must be absolute");
  out.source = clean_path(m.source);
  if (!m.bind) return {};
  out.propagation = m.bind->propagation;
  out.recursive = !m.bind->non_recursive;
  out.recursive_read_only = !m.bind->read_only_non_recursive;
  out.create_source = m.bind->create_mountpoint;
  return {};
}

Result<> read_volume(const MountRequest& m, MountRecord& out) {
  CHECK(check_sections(m));
  out.name = m.source;
  out.anonymous = m.source.empty();
  if (!m.volume) return {};
  out.no_copy = m.volume->no_copy;
  out.subpath = m.volume->subpath;
  if (out.subpath.empty()) return {};
  if (out.anonymous) return bad(m, "must not set Subpath when using anonymous volumes");
  return check_subpath(m, out.subpath);
}

Result<> read_tmpfs(const MountRequest& m, MountRecord& out) {
  CHECK(check_sections(m));
  if (!m.source.empty()) return extra(m, "Source");
  if (m.read_only) out.options.emplace_back("ro");
  if (!m.tmpfs) return {};
  if (m.tmpfs->mode != 0) out.options.push_back(fmt::format("mode={:o}", m.tmpfs->mode));
  if (m.tmpfs->size_bytes != 0) out.options.push_back(fmt::format("size={}", m.tmpfs->size_bytes));
  for (const auto& option : m.tmpfs->options) {
    if (option.empty() || option.size() > 2) return bad(m, "invalid option array length");
    if (!is_one_of(option[0], Words{"exec", "noexec"}))
      return bad(m, "invalid option: " + option[0]);
    out.options.push_back(option.size() == 2 ? option[0] + "=" + option[1] : option[0]);
  }
  return {};
}

Result<> read_image(const MountRequest& m, MountRecord& out) {
  CHECK(check_sections(m));
  if (m.source.empty()) return bad(m, "field Source must not be empty");
  out.source = m.source;
  out.rw = false;
  if (!m.image || m.image->subpath.empty()) return {};
  out.subpath = m.image->subpath;
  return check_subpath(m, out.subpath);
}

}  // namespace

Result<> check_mount_target(const std::string& target) {
  if (target.starts_with('/') && clean_path(target) == "/")
    return fail(Errc::invalid_argument, "invalid specification: destination can't be '/'");
  if (!target.starts_with('/'))
    return fail(Errc::invalid_argument, "invalid mount path: '{}' mount path must be absolute",
                target);
  return {};
}

Result<MountRecord> read_mount_request(const MountRequest& m) {
  MountRecord out;
  if (m.target.empty()) return bad(m, "field Target must not be empty");
  if (auto ok = check_mount_target(m.target); !ok) return bad(m, ok.error().message);
  out.destination = clean_path(m.target);
  out.rw = !m.read_only;
  const auto type = parse_mount_type(m.type);
  if (!type) return bad(m, "mount type unknown");
  out.type = *type;
  switch (out.type) {
    case MountType::bind: CHECK(read_bind(m, out)); break;
    case MountType::volume: CHECK(read_volume(m, out)); break;
    case MountType::tmpfs: CHECK(read_tmpfs(m, out)); break;
    case MountType::image: CHECK(read_image(m, out)); break;
  }
  return out;
}

Result<MountMode> parse_mount_mode(const std::string& mode) {
  MountMode out;
  if (mode.empty()) return out;
  std::array<int, 5> seen{};  // of each kind
  for (const auto& word : split(mode, ',')) {
    std::size_t kind = 0;
    if (is_one_of(word, Words{"ro", "rw"})) {
      out.rw = word == "rw";
    } else if (is_one_of(word, Words{"z", "Z"})) {
      kind = 1;  // SELinux: nothing to relabel here
    } else if (is_one_of(word, kPropagations)) {
      kind = 2;
      out.propagation = word;
    } else if (is_one_of(word, Words{"nocopy", "volume-nocopy"})) {
      kind = 3;
      out.no_copy = true;
    } else if (is_one_of(word, Words{"consistent", "cached", "delegated"})) {
      kind = 4;  // of macOS
    } else {
      return fail(Errc::invalid_argument, "invalid mode: {}", mode);
    }
    if (++seen[kind] > 1) return fail(Errc::invalid_argument, "invalid mode: {}", mode);
  }
  return out;
}

Result<std::vector<std::string>> parse_tmpfs_options(const std::string& options) {
  std::vector<std::string> out;
  for (const std::string_view word : split(options, ',')) {
    const auto equal = word.find('=');
    const auto key = word.substr(0, equal);
    if (word.empty() || word == "defaults") continue;
    if (equal == std::string::npos && !is_one_of(word, kTmpfsFlags))
      return fail(Errc::invalid_argument, "invalid tmpfs option [\"{}\"]", word);
    if (equal != std::string::npos && !is_one_of(key, kTmpfsOptions))
      return fail(Errc::invalid_argument, "invalid tmpfs option [\"{}\" \"{}\"]", key,
                  word.substr(equal + 1));
    out.emplace_back(word);
  }
  return out;
}

}  // namespace coracle
