#include "engine/request/log_options.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include "engine/base/text.hpp"
#include "engine/request/filter.hpp"

namespace coracle {
namespace {

template <class... Args>
std::unexpected<Error> bad_option(fmt::format_string<Args...> text, Args&&... args) {
  return fail(Errc::invalid_argument, text, std::forward<Args>(args)...);
}

const std::set<std::string>& options_of(const std::string& driver) {
  static const std::set<std::string> kJsonFile = {"max-size", "max-file",  "compress",     "labels",
                                                  "env",      "env-regex", "labels-regex", "tag"};
  static const std::set<std::string> kLocal = {"max-size", "max-file", "compress"};
  static const std::set<std::string> kJournald = {"labels", "env", "env-regex", "labels-regex",
                                                  "tag"};
  return driver == "local" ? kLocal : driver == "journald" ? kJournald : kJsonFile;
}

// As Docker reads sizes of logs: 10m, 1.5G, 20MB, 10MiB, all of them by a thousand.
Result<std::int64_t> log_size(const std::string& text) {
  const auto size = parse_size(text, 1000);
  if (!size) return bad_option("invalid size: '{}'", text);
  return *size;
}

std::optional<std::string> option(const LogConfig& log, const char* name) {
  const auto found = log.config.find(name);
  return found == log.config.end() ? std::nullopt : std::optional(found->second);
}

// --- rotation ---

struct Rotation {
  std::int64_t max_size = 0;  // 0: none
  std::int32_t max_file = 1;
  bool compress = false;
};

Result<Rotation> rotation_of(const LogConfig& log) {
  Rotation r;
  if (log.type == "local") r = {20'000'000, 5, true};
  if (const auto text = option(log, "max-size")) {
    const bool none = *text == "-1" && log.type == "json-file";
    TRY(r.max_size, none ? Result<std::int64_t>(0) : log_size(*text));
    if (r.max_size <= 0 && !none) return bad_option("max-size must be a positive number");
  }
  if (const auto text = option(log, "max-file")) {
    const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), r.max_file);
    if (text->empty() || ec != std::errc{} || end != text->data() + text->size())
      return bad_option("strconv.Atoi: parsing \"{}\": invalid syntax", *text);
    if (r.max_file < 1) return bad_option("max-file cannot be less than 1");
  }
  if (const auto text = option(log, "compress")) {
    const auto compress = parse_go_bool(*text);
    if (!compress) return bad_option("strconv.ParseBool: parsing \"{}\": invalid syntax", *text);
    r.compress = *compress;
    if (r.compress && (r.max_file < 2 || r.max_size == 0))
      return bad_option(
          "compress cannot be true when max-file is less than 2 or max-size is not set");
  }
  r.compress = r.compress && r.max_file > 1;
  return r;
}

// --- attributes ---

using Attributes = std::map<std::string, std::string>;

Result<> choose(const LogConfig& log, const char* by_name, const char* by_pattern,
                const Attributes& from, Attributes& into) {
  if (const auto names = option(log, by_name)) {
    for (const auto& name : list_items(*names)) {
      if (const auto found = from.find(name); found != from.end()) into[name] = found->second;
    }
  }
  const auto text = option(log, by_pattern);
  if (!text || text->empty()) return {};
  TRY(const auto pattern, Pattern::compile(*text));
  for (const auto& [name, value] : from) {
    if (pattern.matches(name)) into[name] = value;
  }
  return {};
}

Result<Attributes> attributes_of(const LogConfig& log, const ContainerConfig& config) {
  Attributes out, environment;
  for (const auto& variable : config.env) {
    if (const auto equals = variable.find('='); equals != std::string::npos)
      environment[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  CHECK(choose(log, "labels", "labels-regex", config.labels, out));
  CHECK(choose(log, "env", "env-regex", environment, out));
  return out;
}

// --- tag: Docker's template, of which the fields are known: {{.ID}}/{{.Name}} ---

std::string command_of(const ContainerConfig& config) {
  std::string out;
  for (const auto* list : {&config.entrypoint, &config.cmd}) {
    if (!*list) continue;
    for (const auto& word : (*list)->items) out += (out.empty() ? "" : " ") + word;
  }
  return out;
}

Result<std::string> fill_in(const std::string& tag, const ContainerRecord& r) {
  const std::map<std::string, std::string> fields = {{".ID", r.id.substr(0, 12)},
                                                     {".FullID", r.id},
                                                     {".Name", r.name},
                                                     {".ImageID", r.image_id.substr(0, 12)},
                                                     {".ImageFullID", r.image_id},
                                                     {".ImageName", r.config.image},
                                                     {".DaemonName", "docker"},
                                                     {".Command", command_of(r.config)}};
  std::string out;
  for (std::size_t at = 0;;) {
    const auto open = tag.find("{{", at);
    out += tag.substr(at, open == std::string::npos ? open : open - at);
    if (open == std::string::npos) return out;
    const auto close = tag.find("}}", open);
    if (close == std::string::npos) return bad_option("template: log-tag:1: unclosed action");
    const std::string name(trimmed(std::string_view(tag).substr(open + 2, close - open - 2)));
    const auto found = fields.find(name);
    if (found == fields.end())
      return bad_option(
          "template: log-tag:1: \"{}\" is no field of a log tag (.ID .FullID .Name .ImageID "
          ".ImageFullID .ImageName .DaemonName .Command)",
          name);
    out += found->second;
    at = close + 2;
  }
}

// A journal's field: capital letters, digits, "_", and that not in front. See
// systemd.journal-fields(7).
std::string field_name(const std::string& key) {
  std::string out;
  for (const char c : key) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const char safe = lower ? static_cast<char>(c - 'a' + 'A') : plain ? c : '_';
    if (!(out.empty() && safe == '_')) out += safe;
  }
  return out;
}

std::vector<std::string> journal_fields(const ContainerRecord& r, const std::string& tag,
                                        const Attributes& attributes) {
  std::vector<std::string> out = {"CONTAINER_ID=" + r.id.substr(0, 12), "CONTAINER_ID_FULL=" + r.id,
                                  "CONTAINER_NAME=" + r.name,           "CONTAINER_TAG=" + tag,
                                  "IMAGE_NAME=" + r.config.image,       "SYSLOG_IDENTIFIER=" + tag};
  for (const auto& [key, value] : attributes) {
    if (const auto name = field_name(key); !name.empty()) out.push_back(name + "=" + value);
  }
  return out;
}

bool has_journal() {
  struct stat st {};
  return ::stat(kJournalSocket, &st) == 0 && S_ISSOCK(st.st_mode);
}

Result<> check_mode(const LogConfig& log) {
  const auto mode = option(log, "mode").value_or("");
  if (mode != "" && mode != "blocking" && mode != "non-blocking")
    return bad_option("logger: logging mode not supported: {}", mode);
  const auto size = option(log, "max-buffer-size");
  if (!size) return {};
  if (mode != "non-blocking")
    return bad_option("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  const auto parsed = log_size(*size);
  if (!parsed)
    return bad_option("error parsing option max-buffer-size: {}", parsed.error().message);
  return {};
}

}  // namespace

std::vector<std::string> log_drivers() {
  std::vector<std::string> out = {"json-file", "local", "none"};
  if (has_journal()) out.insert(out.begin(), "journald");
  return out;
}

LogConfig with_default_log(LogConfig wanted, const LogConfig& defaults) {
  const std::string usual = defaults.type.empty() ? "json-file" : defaults.type;
  if (wanted.type.empty()) wanted.type = usual;
  if (wanted.type == usual) wanted.config.insert(defaults.config.begin(), defaults.config.end());
  return wanted;
}

Result<> check_log(const LogConfig& log) {
  const auto driver = log.type.empty() ? "json-file" : log.type;
  if (driver == "none") return {};
  if (driver != "json-file" && driver != "local" && driver != "journald")
    return bad_option("logger: no log driver named '{}' is registered", driver);
  CHECK(check_mode(log));
  for (const auto& [key, value] : log.config) {
    if (key == "mode" || key == "max-buffer-size" || options_of(driver).contains(key)) continue;
    if (driver == "local") return bad_option("unknown log opt '{}' for log driver {}", key, driver);
    return bad_option("unknown log opt '{}' for {} log driver", key, driver);
  }
  auto named = log;
  named.type = driver;
  CHECK(rotation_of(named));
  CHECK(attributes_of(log, {}));
  CHECK(fill_in(option(log, "tag").value_or(""), {}));
  if (driver == "journald" && !has_journal())
    return fail(Errc::unavailable,
                "logger: journald is not available: this host has no systemd journal ({} is not "
                "there); --log-driver json-file or local does without",
                kJournalSocket);
  return {};
}

std::string log_file_of(const LogConfig& log, const std::string& dir, const std::string& id) {
  if (log.type == "json-file") return dir + "/" + id + "-json.log";
  if (log.type == "local") return dir + "/" + id + "-local.log";
  return {};
}

Result<monitor::LogOptions> log_options(const ContainerRecord& record, const std::string& dir) {
  const auto& wanted = record.host.log_config;
  monitor::LogOptions out;
  out.driver = wanted.type;
  out.path = log_file_of(wanted, dir, record.id);
  if (wanted.type == "none") return out;
  TRY(auto attributes, attributes_of(wanted, record.config));
  if (wanted.type == "journald") {
    out.path = kJournalSocket;
    TRY(const auto tag, fill_in(option(wanted, "tag").value_or("{{.ID}}"), record));
    out.attrs = journal_fields(record, tag, attributes);
    return out;
  }
  TRY(const auto rotation, rotation_of(wanted));
  out.max_size = rotation.max_size;
  out.max_file = rotation.max_file;
  out.compress = rotation.compress;
  TRY(const auto tag, fill_in(option(wanted, "tag").value_or(""), record));
  if (!tag.empty()) attributes["tag"] = tag;
  for (const auto& [key, value] : attributes) out.attrs.push_back(key + "=" + value);
  return out;
}

}  // namespace coracle
