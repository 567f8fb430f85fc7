#include "storage/images/config_change.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "engine/base/text.hpp"

namespace coracle::storage {
namespace {

// Splits at white space; quotes and backslashes as a shell takes them.
std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  std::optional<std::string> word;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool space = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (quote == 0 && space) {
      if (word) out.push_back(*std::exchange(word, std::nullopt));
      continue;
    }
    if (!word) word.emplace();
    if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      *word += text[++i];
    } else {
      *word += c;
    }
  }
  if (word) out.push_back(*word);
  return out;
}

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
// "A=1 B=2", or the old "A text".
Result<Pairs> pairs(const std::string& instruction, std::string_view text) {
  Pairs out;
  const auto list = words(text);
  if (!list.empty() && list[0].find('=') == std::string::npos) {
    const auto space = text.find_first_of(" \t");
    if (space == std::string_view::npos)
      return fail(Errc::invalid_argument, "{} must have two arguments", instruction);
    out.emplace_back(list[0], trimmed(text.substr(space)));
    return out;
  }
  for (const auto& word : list) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail(Errc::invalid_argument,
                  "Syntax error - can't find = in \"{}\". Must be of the form: name=value", word);
    }
    out.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return out;
}

Result<std::int64_t> duration_ns(std::string_view text) {
  const auto ns = parse_go_duration_ns(text);
  if (!ns) return fail(Errc::invalid_argument, "invalid duration \"{}\"", text);
  return *ns;
}

Result<> set_env(ImageConfig& config, std::string_view text) {
  TRY(const auto list, pairs("ENV", text));
  for (const auto& [name, value] : list) {
    std::erase_if(config.env, [&](const std::string& e) { return e.starts_with(name + "="); });
    config.env.push_back(name + "=" + value);
  }
  return {};
}

// "80", "80/tcp", "8000-8010/udp"
Result<> expose(ImageConfig& config, std::string_view text) {
  for (const auto& word : words(text)) {
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

Result<> apply(ImageConfig& config, const std::string& change, bool& command_set) {
  const auto text = trimmed(change);
  const auto space = std::min(text.find_first_of(" \t"), text.size());
  const auto name = upper(text.substr(0, space));
  const auto rest = trimmed(text.substr(space));
  if (rest.empty()) return fail(Errc::invalid_argument, "{} requires an argument", name);
  if (name == "CMD") {
    config.cmd = command(config, rest);
    command_set = true;
  } else if (name == "ENTRYPOINT") {
    config.entrypoint = command(config, rest);
    if (!command_set) config.cmd.clear();  // it was meant for the entry point before
  } else if (name == "ENV") {
    return set_env(config, rest);
  } else if (name == "LABEL") {
    TRY(const auto list, pairs("LABEL", rest));
    for (const auto& [key, value] : list) config.labels[key] = value;
  } else if (name == "EXPOSE") {
    return expose(config, rest);
  } else if (name == "HEALTHCHECK") {
    return healthcheck(config, rest);
  } else if (name == "USER") {
    config.user = std::string(rest);
  } else if (name == "STOPSIGNAL") {
    config.stop_signal = std::string(rest);
  } else if (name == "ONBUILD") {
    config.on_build.emplace_back(rest);
  } else if (name == "WORKDIR") {
    config.working_dir = clean_path(
        rest.starts_with('/') ? std::string(rest) : "/" + join_path(config.working_dir, rest));
  } else if (name == "VOLUME") {
    const auto list = json_list(rest);
    for (const auto& volume : list ? *list : words(rest)) config.volumes[volume] = {};
  } else {
    return fail(Errc::invalid_argument, "{} is not a valid change command", name);
  }
  return {};
}

}  // namespace

Result<> apply_changes(ImageConfig& config, const std::vector<std::string>& changes) {
  bool command_set = false;
  for (const auto& change : changes) {
    if (trimmed(change).empty()) continue;
    CHECK(apply(config, change, command_set));
  }
  return {};
}

}  // namespace coracle::storage
