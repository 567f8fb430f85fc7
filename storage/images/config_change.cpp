#include "storage/images/config_change.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/base/text.hpp"
#include "storage/images/shell_word.hpp"

namespace coracle::storage {
namespace {

// ["a", "b"]
std::optional<std::vector<std::string>> json_list(std::string_view text) {
  if (!text.starts_with('[')) return std::nullopt;
  auto list = json::from_text<std::vector<std::string>>(text);
  if (!list) return std::nullopt;
  return *std::move(list);
}

std::vector<std::string> command(const ImageConfig& config, std::string_view text) {
  if (auto list = json_list(text)) return *list;
  auto out = config.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : config.shell;
  out.emplace_back(text);
  return out;
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

Result<> add_pair(Pairs& pairs, const std::string& instruction, std::string_view name,
                  std::string_view value, WordExpander& expand) {
  TRY(auto first, expand.word(name));
  if (first.empty()) return fail(Errc::invalid_argument, "{} names can not be blank", instruction);
  TRY(auto second, expand.word(value));
  pairs.emplace_back(std::move(first), std::move(second));
  return {};
}

// "A=1 B=2", or the old "A text". All of one instruction see the variables from before it.
Result<Pairs> pairs(const std::string& instruction, std::string_view text, WordExpander& expand) {
  Pairs out;
  const auto list = quoted_words(text);
  if (!list.empty() && list[0].find('=') == std::string::npos) {
    const auto space = text.find_first_of(" \t");
    if (space == std::string_view::npos)
      return fail(Errc::invalid_argument, "{} must have two arguments", instruction);
    CHECK(add_pair(out, instruction, text.substr(0, space), trimmed(text.substr(space)), expand));
    return out;
  }
  for (const auto& word : list) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) {
      return fail(Errc::invalid_argument,
                  "Syntax error - can't find = in \"{}\". Must be of the form: name=value", word);
    }
    const std::string_view whole = word;
    CHECK(add_pair(out, instruction, whole.substr(0, equals), whole.substr(equals + 1), expand));
  }
  return out;
}

Result<std::int64_t> duration_ns(std::string_view text) {
  const auto ns = parse_go_duration_ns(text);
  if (!ns) return fail(Errc::invalid_argument, "invalid duration \"{}\"", text);
  return *ns;
}

Result<> set_env(ImageConfig& config, std::string_view text, WordExpander& expand) {
  TRY(const auto list, pairs("ENV", text, expand));
  for (const auto& [name, value] : list) {
    const auto start = name + "=";
    const auto at = std::ranges::find_if(
        config.env, [&](const std::string& e) { return e.starts_with(start); });
    if (at == config.env.end())
      config.env.push_back(start + value);
    else
      *at = start + value;
  }
  return {};
}

// "80", "80/tcp", "8000-8010/udp"
Result<> expose(ImageConfig& config, std::string_view text, WordExpander& expand) {
  TRY(const auto list, expand.words(text));
  for (const auto& word : list) {
    const auto slash = word.find('/');
    const std::string protocol = slash == std::string::npos ? "tcp" : word.substr(slash + 1);
    const std::string ports = word.substr(0, slash);
    const auto dash = ports.find('-');
    const auto number = [](const std::string& t) {
      unsigned n = 0;
      const auto [end, ec] = std::from_chars(t.data(), t.data() + t.size(), n);
      return ec == std::errc() && end == t.data() + t.size() && n <= 65535 ? static_cast<int>(n)
                                                                           : -1;
    };
    const int first = number(ports.substr(0, dash));
    const int last = dash == std::string::npos ? first : number(ports.substr(dash + 1));
    if (first < 0 || last < first || (protocol != "tcp" && protocol != "udp" && protocol != "sctp"))
      return fail(Errc::invalid_argument, "EXPOSE: invalid port \"{}\"", word);
    for (int port = first; port <= last; ++port)
      config.exposed_ports[std::to_string(port) + "/" + protocol] = {};
  }
  return {};
}

Result<> healthcheck(ImageConfig& config, std::string_view text) {
  Healthcheck check;
  while (text.starts_with("--")) {
    const auto end = std::min(text.find_first_of(" \t"), text.size());
    const auto option = text.substr(2, end - 2);
    text = trimmed(text.substr(end));
    const auto equals = option.find('=');
    const auto name = option.substr(0, equals);
    const auto value = equals == std::string_view::npos ? "" : option.substr(equals + 1);
    if (name == "retries") {
      const auto [p, ec] =
          std::from_chars(value.data(), value.data() + value.size(), check.retries);
      if (ec != std::errc() || p != value.data() + value.size())
        return fail(Errc::invalid_argument, "HEALTHCHECK: invalid --retries \"{}\"", value);
      continue;
    }
    std::int64_t* into = name == "interval"         ? &check.interval_ns
                         : name == "timeout"        ? &check.timeout_ns
                         : name == "start-period"   ? &check.start_period_ns
                         : name == "start-interval" ? &check.start_interval_ns
                                                    : nullptr;
    if (into == nullptr)
      return fail(Errc::invalid_argument, "HEALTHCHECK: unknown flag: --{}", name);
    TRY(*into, duration_ns(value));
  }
  const auto space = std::min(text.find_first_of(" \t"), text.size());
  const auto kind = upper(text.substr(0, space));
  const auto rest = trimmed(text.substr(space));
  if (kind == "NONE") {
    check.test = {"NONE"};
  } else if (kind == "CMD" && !rest.empty()) {
    if (auto list = json_list(rest)) {
      check.test = {"CMD"};
      check.test.insert(check.test.end(), list->begin(), list->end());
    } else {
      check.test = {"CMD-SHELL", std::string(rest)};
    }
  } else {
    return fail(Errc::invalid_argument, "HEALTHCHECK: expected CMD with a command, or NONE");
  }
  config.healthcheck = std::move(check);
  return {};
}

Result<> add_volumes(ImageConfig& config, std::string_view text, WordExpander& expand) {
  const auto list = json_list(text);
  std::vector<std::string> volumes;
  if (list) volumes = *list;
  for (const auto& word : list ? std::vector<std::string_view>() : words_of(text))
    volumes.emplace_back(word);
  for (const auto& volume : volumes) {
    TRY(const auto path, expand.word(volume));
    if (path.empty())
      return fail(Errc::invalid_argument, "VOLUME specified can not be an empty string");
    config.volumes[path] = {};
  }
  return {};
}

// Those whose argument is one word: variables are put in.
Result<bool> apply_word(ImageConfig& config, const std::string& name, std::string_view text,
                        WordExpander& expand) {
  if (name != "USER" && name != "STOPSIGNAL" && name != "WORKDIR") return false;
  TRY(auto word, expand.word(text));
  if (name == "USER") {
    config.user = std::move(word);
  } else if (name == "STOPSIGNAL") {
    config.stop_signal = std::move(word);
  } else {
    config.working_dir =
        clean_path(word.starts_with('/') ? word : "/" + join_path(config.working_dir, word));
  }
  return true;
}

Result<> apply(ImageConfig& config, std::string_view text, bool& command_set,
               WordExpander& expand) {
  const auto space = std::min(text.find_first_of(" \t"), text.size());
  const auto name = upper(text.substr(0, space));
  const auto rest = trimmed(text.substr(space));
  if (rest.empty()) return fail(Errc::invalid_argument, "{} requires an argument", name);
  TRY(const bool done, apply_word(config, name, rest, expand));
  if (done) return {};
  if (name == "CMD") {
    config.cmd = command(config, rest);
    command_set = true;
  } else if (name == "ENTRYPOINT") {
    config.entrypoint = command(config, rest);
    if (!command_set) config.cmd.clear();  // it was meant for the entry point before
  } else if (name == "ENV") {
    return set_env(config, rest, expand);
  } else if (name == "LABEL") {
    TRY(const auto list, pairs("LABEL", rest, expand));
    for (const auto& [key, value] : list) config.labels[key] = value;
  } else if (name == "EXPOSE") {
    return expose(config, rest, expand);
  } else if (name == "HEALTHCHECK") {
    return healthcheck(config, rest);
  } else if (name == "ONBUILD") {
    config.on_build.emplace_back(rest);
  } else if (name == "VOLUME") {
    return add_volumes(config, rest, expand);
  } else {
    return fail(Errc::invalid_argument, "{} is not a valid change command", name);
  }
  return {};
}

// A line that ends with a backslash that is not escaped goes on with the next one; white space
// behind it does not count. Takes the backslash off.
bool take_continuation(std::string_view& line) {
  const auto last = line.find_last_not_of(" \t");
  if (last == std::string_view::npos || line[last] != '\\') return false;
  if (last > 0 && line[last - 1] == '\\') return false;
  line = line.substr(0, last);
  return true;
}

// The instructions of a Dockerfile, one each.
std::vector<std::string> instructions_of(const std::vector<std::string>& changes) {
  std::vector<std::string> out;
  bool goes_on = false;
  for (const auto& change : changes) {
    for (auto line : split(change, '\n')) {
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (trimmed(line).empty() || trimmed(line).starts_with('#')) continue;
      if (!goes_on) out.emplace_back();
      goes_on = take_continuation(line);
      out.back() += line;
    }
  }
  return out;
}

}  // namespace

Result<> apply_changes(ImageConfig& config, const std::vector<std::string>& changes) {
  bool command_set = false;
  WordExpander expand(config.env);
  for (const auto& instruction : instructions_of(changes)) {
    const auto text = trimmed(instruction);
    if (!text.empty()) CHECK(apply(config, text, command_set, expand));
  }
  return {};
}

}  // namespace coracle::storage
