#include "engine/spec/security_options.hpp"

#include "engine/spec/keep_id.hpp"

namespace coracle {
namespace {

Result<bool> parse_bool(const std::string& key, const std::string& value) {
  if (value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  return fail(Errc::invalid_argument, "invalid --security-opt 2: \"{}={}\"", key, value);
}

}  // namespace

Result<SecurityOptions> parse_security_options(const std::vector<std::string>& options) {
  SecurityOptions out;
  for (const auto& option : options) {
    if (option == "no-new-privileges") {
      out.no_new_privileges = true;
      continue;
    }
    if (option == "disable") {
      out.labels.push_back(option);
      continue;
    }
    auto cut = option.find('=');
    if (cut == std::string::npos) cut = option.find(':');
    if (cut == std::string::npos)
      return fail(Errc::invalid_argument, "invalid --security-opt 1: \"{}\"", option);
    const std::string key = option.substr(0, cut);
    const std::string value = option.substr(cut + 1);
    if (key == "label") {
      out.labels.push_back(value);
    } else if (key == "apparmor") {
      out.apparmor = value;
    } else if (key == "seccomp") {
      out.seccomp = value;
    } else if (key == "no-new-privileges") {
      TRY(out.no_new_privileges, parse_bool(key, value));
    } else if (key == "writable-cgroups") {
      TRY(out.writable_cgroups, parse_bool(key, value));
    } else if (key == "userns") {
      CHECK(parse_userns_mode(value));
      out.userns = value;
    } else if (key == "systempaths" && value == "unconfined") {
      out.system_paths_unconfined = true;
    } else {
      return fail(Errc::invalid_argument, "invalid --security-opt 2: \"{}\"", option);
    }
  }
  return out;
}

}  // namespace coracle
