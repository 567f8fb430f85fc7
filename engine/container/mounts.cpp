#include "engine/container/mounts.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "engine/base/path.hpp"

namespace coracle {
namespace {

constexpr std::array kPropagations = {"private", "rprivate", "slave",
                                      "rslave",  "shared",   "rshared"};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  for (;;) {
    const auto end = text.find(at, from);
    parts.push_back(text.substr(from, end - from));
    if (end == std::string::npos) return parts;
    from = end + 1;
  }
}

bool is_propagation(const std::string& word) {
  return std::ranges::find(kPropagations, word) != kPropagations.end();
}

Result<> apply_mode(MountRecord& m, const std::string& mode) {
  for (const auto& word : split(mode, ',')) {
    if (word == "ro") {
      m.rw = false;
    } else if (word == "rw" || word == "z" || word == "Z" || word == "consistent" ||
               word == "cached" || word == "delegated" || word.empty()) {
      // SELinux relabelling and macOS consistency have nothing to do here.
    } else if (word == "nocopy" || word == "volume-nocopy") {
      m.no_copy = true;
    } else if (is_propagation(word)) {
      m.propagation = word;
    } else if (word == "rbind" || word == "bind") {
      m.recursive = word == "rbind";
    } else {
      return fail(Errc::invalid_argument, "invalid mode: {}", mode);
    }
  }
  return {};
}

Result<std::string> check_destination(const std::string& text, const std::string& spec) {
  if (!text.starts_with('/'))
    return fail(Errc::invalid_argument,
                "invalid volume specification: '{}': invalid mount path: '{}' mount path must be "
                "absolute",
                spec, text);
  auto clean = clean_path(text);
  if (clean == "/")
    return fail(Errc::invalid_argument,
                "invalid volume specification: '{}': invalid specification: destination can't be "
                "'/'",
                spec);
  return clean;
}

std::unexpected<Error> bad_mount(const MountRequest& m, const std::string& why) {
  return fail(Errc::invalid_argument, "invalid mount config for type \"{}\": {}", m.type, why);
}

Result<> check_options(const MountRequest& m) {
  if (m.target.empty()) return bad_mount(m, "field Target must not be empty");
  if (!m.target.starts_with('/'))
    return bad_mount(m, "invalid mount path: '" + m.target + "' mount path must be absolute");
  if (clean_path(m.target) == "/")
    return bad_mount(m, "invalid specification: destination can't be '/'");
  const auto extra = [&](const char* field) {
    return bad_mount(m, std::string("field ") + field + " must not be specified");
  };
  if (m.bind && m.type != "bind") return extra("BindOptions");
  if (m.volume && m.type != "volume") return extra("VolumeOptions");
  if (m.tmpfs && m.type != "tmpfs") return extra("TmpfsOptions");
  if (m.image && m.type != "image") return extra("ImageOptions");
  return {};
}

Result<> read_bind(const MountRequest& m, MountRecord& out) {
  if (m.source.empty()) return bad_mount(m, "field Source must not be empty");
  if (!m.source.starts_with('/'))
    return bad_mount(m, "invalid mount path: '" + m.source + "' mount path must be absolute");
  out.source = clean_path(m.source);
  if (!m.bind) return {};
  if (!m.bind->propagation.empty() && !is_propagation(m.bind->propagation))
    return bad_mount(m, "invalid propagation mode: " + m.bind->propagation);
  out.propagation = m.bind->propagation;
  out.recursive = !m.bind->non_recursive;
  out.recursive_read_only = !m.bind->read_only_non_recursive;
  out.create_source = m.bind->create_mountpoint;
  return {};
}

Result<> read_volume(const MountRequest& m, MountRecord& out) {
  out.name = m.source;
  out.anonymous = m.source.empty();
  if (!out.anonymous) CHECK(check_volume_name(m.source));
  if (!m.volume) return {};
  out.no_copy = m.volume->no_copy;
  out.subpath = m.volume->subpath;
  const auto& driver = m.volume->driver_config;
  if (driver && !driver->name.empty() && driver->name != "local")
    return fail(Errc::unsupported, "volume driver \"{}\": coracle has the driver \"local\" only",
                driver->name);
  return {};
}

Result<> read_tmpfs(const MountRequest& m, MountRecord& out) {
  if (!m.source.empty()) return bad_mount(m, "field Source must not be specified");
  if (m.read_only) out.options.emplace_back("ro");
  if (!m.tmpfs) return {};
  if (m.tmpfs->size_bytes > 0) out.options.push_back("size=" + std::to_string(m.tmpfs->size_bytes));
  if (m.tmpfs->mode != 0) out.options.push_back(fmt::format("mode={:o}", m.tmpfs->mode));
  for (const auto& option : m.tmpfs->options) {
    if (option.empty()) continue;
    out.options.push_back(option.size() > 1 ? option[0] + "=" + option[1] : option[0]);
  }
  return {};
}

Result<MountRecord> read_mount(const MountRequest& m) {
  MountRecord out;
  out.type = m.type;
  if (m.type != "bind" && m.type != "volume" && m.type != "tmpfs") {
    if (m.type == "image" || m.type == "npipe" || m.type == "cluster")
      return fail(Errc::unsupported, "mount type \"{}\" is not supported by coracle yet", m.type);
    return fail(Errc::invalid_argument, "invalid mount config for type \"{}\": mount type unknown",
                m.type);
  }
  CHECK(check_options(m));
  out.destination = clean_path(m.target);
  out.rw = !m.read_only;
  if (m.type == "bind") {
    CHECK(read_bind(m, out));
  } else if (m.type == "volume") {
    CHECK(read_volume(m, out));
  } else {
    CHECK(read_tmpfs(m, out));
  }
  return out;
}

Result<> add(std::vector<MountRecord>& all, MountRecord one) {
  const bool taken = std::ranges::any_of(
      all, [&](const MountRecord& m) { return m.destination == one.destination; });
  if (taken) return fail(Errc::invalid_argument, "Duplicate mount point: {}", one.destination);
  all.push_back(std::move(one));
  return {};
}

}  // namespace

Result<> check_volume_name(const std::string& name) {
  const auto alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  const bool ok = name.size() >= 2 && alnum(name[0]) && std::ranges::all_of(name, [&](char c) {
                    return alnum(c) || c == '_' || c == '.' || c == '-';
                  });
  if (!ok)
    return fail(Errc::invalid_argument,
                "create {}: \"{}\" includes invalid characters for a local volume name, only "
                "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host "
                "directory, use absolute path",
                name, name);
  return {};
}

Result<MountRecord> parse_bind(const std::string& spec) {
  const auto parts = split(spec, ':');
  if (parts.size() > 3 || std::ranges::any_of(parts, [](const auto& p) { return p.empty(); }))
    return fail(Errc::invalid_argument, "invalid volume specification: '{}'", spec);
  MountRecord m;
  if (parts.size() == 1) {
    m.type = "volume";
    m.anonymous = true;
    TRY(m.destination, check_destination(parts[0], spec));
    return m;
  }
  TRY(m.destination, check_destination(parts[1], spec));
  if (parts.size() == 3) {
    m.mode = parts[2];
    if (auto ok = apply_mode(m, parts[2]); !ok)
      return std::unexpected(ok.error().within("invalid volume specification: '{}'", spec));
  }
  if (parts[0].starts_with('/')) {
    m.type = "bind";
    m.source = clean_path(parts[0]);
    m.create_source = true;
  } else {
    m.type = "volume";
    CHECK(check_volume_name(parts[0]));
    m.name = parts[0];
  }
  return m;
}

Result<std::vector<MountRecord>> plan_mounts(const HostConfig& host,
                                             const ContainerConfig& config) {
  std::vector<MountRecord> all;
  for (const auto& spec : host.binds) {
    TRY(auto one, parse_bind(spec));
    CHECK(add(all, std::move(one)));
  }
  for (const auto& request : host.mounts) {
    TRY(auto one, read_mount(request));
    CHECK(add(all, std::move(one)));
  }
  for (const auto& [path, options] : host.tmpfs) {
    MountRecord one;
    one.type = "tmpfs";
    TRY(one.destination, check_destination(path, path));
    one.mode = options;
    for (auto& word : split(options, ',')) {
      if (!word.empty()) one.options.push_back(std::move(word));
    }
    CHECK(add(all, std::move(one)));
  }
  for (const auto& [path, nothing] : config.volumes) {
    MountRecord one;
    one.type = "volume";
    one.anonymous = true;
    TRY(one.destination, check_destination(path, path));
    // Somebody else's mount at that place is what the user asked for instead.
    (void)add(all, std::move(one));
  }
  return all;
}

MountPoint shown_mount(const MountRecord& m) {
  MountPoint shown;
  shown.type = m.type;
  shown.name = m.name;
  shown.source = m.source;
  shown.destination = m.destination;
  if (m.type == "volume") shown.driver = "local";
  shown.mode = m.mode;
  shown.rw = m.rw;
  shown.propagation = m.type == "bind" && m.propagation.empty() ? "rprivate" : m.propagation;
  return shown;
}

}  // namespace coracle
