#include "engine/bundle/etc_files.hpp"

#include <string_view>

namespace coracle {
namespace {

// Calls f with each line.
template <class F>
void each_line(std::string_view text, F f) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    f(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

bool is_keyword(std::string_view line, std::string_view word) {
  return line.starts_with(word) && line.size() > word.size() &&
         (line[word.size()] == ' ' || line[word.size()] == '\t');
}

std::string extra_lines(const HostConfig& host, const NetworkFacts& facts) {
  std::string out;
  for (const auto& extra : host.extra_hosts) {
    auto at = extra.find('=');
    if (at == std::string::npos) at = extra.find(':');
    if (at == std::string::npos) continue;
    std::string address = extra.substr(at + 1);
    if (address == "host-gateway" && !facts.host_gateway.empty()) {
      address = facts.host_gateway;
    } else if (address == "host-gateway") {
      address = facts.host ? "127.0.0.1" : facts.gateway;
    }
    if (address.size() > 2 && address.front() == '[' && address.back() == ']')
      address = address.substr(1, address.size() - 2);
    out += address + "\t" + extra.substr(0, at) + "\n";
  }
  return out;
}

}  // namespace

std::string hosts_text(const ContainerConfig& config, const HostConfig& host,
                       const NetworkFacts& facts) {
  if (facts.host) {
    std::string out = facts.hosts;
    if (!out.empty() && out.back() != '\n') out += '\n';
    return out + extra_lines(host, facts);
  }
  std::string out =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::\tip6-localnet\n"
      "ff00::\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  out += extra_lines(host, facts);
  if (!facts.address.empty()) {
    out += facts.address + "\t";
    if (!config.domainname.empty()) out += config.hostname + "." + config.domainname + " ";
    out += config.hostname + "\n";
  }
  return out;
}

std::string resolv_conf_text(const HostConfig& host, const NetworkFacts& facts) {
  const bool plain = host.dns.empty() && host.dns_search.empty() && host.dns_options.empty();
  if (facts.address.empty() && plain) return facts.resolv_conf;
  std::string out;
  if (!host.dns.empty()) {
    for (const auto& server : host.dns) out += "nameserver " + server + "\n";
  } else if (!facts.address.empty()) {
    out += "nameserver " + facts.gateway + "\n";
  } else {
    each_line(facts.resolv_conf, [&](std::string_view line) {
      if (is_keyword(line, "nameserver")) out += std::string(line) + "\n";
    });
  }
  const auto own = [&](const char* word, const std::vector<std::string>& given) {
    if (given.empty()) {
      each_line(facts.resolv_conf, [&](std::string_view line) {
        if (is_keyword(line, word)) out += std::string(line) + "\n";
      });
      return;
    }
    // "." alone means: none.
    if (given.size() == 1 && given[0] == ".") return;
    out += word;
    for (const auto& one : given) out += " " + one;
    out += "\n";
  };
  own("search", host.dns_search);
  own("options", host.dns_options);
  return out;
}

}  // namespace coracle
