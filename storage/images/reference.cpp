#include "storage/images/reference.hpp"

#include <algorithm>
#include <string_view>

#include "engine/base/ident.hpp"
#include "engine/base/text.hpp"
#include "storage/content/digest.hpp"

namespace coracle::storage {
namespace {

bool is_lower(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alnum(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }

// [a-z0-9]+ joined by one ".", one or two "_", or any number of "-".
bool is_path_component(std::string_view part) {
  if (part.empty() || !is_lower(part.front()) || !is_lower(part.back())) return false;
  for (std::size_t i = 0; i < part.size();) {
    if (is_lower(part[i])) {
      ++i;
      continue;
    }
    const auto end = std::min(part.find_first_not_of(part[i], i), part.size());
    const auto run = end - i;
    const bool joins =
        (part[i] == '.' && run == 1) || (part[i] == '_' && run <= 2) || part[i] == '-';
    if (!joins || end == part.size() || !is_lower(part[end])) return false;
    i = end;
  }
  return true;
}

template <class F>
bool each_part(std::string_view text, char separator, F ok) {
  for (;;) {
    const auto at = text.find(separator);
    if (!ok(text.substr(0, at))) return false;
    if (at == std::string_view::npos) return true;
    text.remove_prefix(at + 1);
  }
}

bool is_path(std::string_view path) { return each_part(path, '/', is_path_component); }

bool is_host_component(std::string_view part) {
  return !part.empty() && is_alnum(part.front()) && is_alnum(part.back()) &&
         std::ranges::all_of(part, [](char c) { return is_alnum(c) || c == '-'; });
}

bool is_domain(std::string_view domain) {
  std::string_view host = domain;
  std::string_view port;
  if (domain.starts_with('[')) {  // an IPv6 address
    const auto end = domain.find(']');
    if (end == std::string_view::npos || end < 2) return false;
    const auto address = domain.substr(1, end - 1);
    if (address.find_first_not_of("0123456789abcdefABCDEF:") != std::string_view::npos)
      return false;
    if (end + 1 == domain.size()) return true;
    if (domain[end + 1] != ':') return false;
    port = domain.substr(end + 2);
  } else {
    const auto colon = domain.find(':');
    host = domain.substr(0, colon);
    if (!each_part(host, '.', is_host_component)) return false;
    if (colon == std::string_view::npos) return true;
    port = domain.substr(colon + 1);
  }
  return !port.empty() && port.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_tag(std::string_view tag) {
  if (tag.empty() || tag.size() > 128) return false;
  if (!is_alnum(tag.front()) && tag.front() != '_') return false;
  return std::ranges::all_of(
      tag, [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

std::unexpected<Error> invalid() {
  return fail(Errc::invalid_argument, "invalid reference format");
}

// The part before the first "/" is a domain if it looks like one: a dot, a port, "localhost", or
// upper case (which no path may have).
void split_domain(std::string_view name, Reference& into) {
  const auto slash = name.find('/');
  const auto first = name.substr(0, slash);
  const bool domain =
      slash != std::string_view::npos && (first.find_first_of(".:") != std::string_view::npos ||
                                          first == "localhost" || lower(first) != first);
  into.domain = domain ? std::string(first) : kDefaultDomain;
  into.path = std::string(domain ? name.substr(slash + 1) : name);
  if (into.domain == "index.docker.io") into.domain = kDefaultDomain;
  if (into.domain == kDefaultDomain && into.path.find('/') == std::string::npos)
    into.path = "library/" + into.path;
}

}  // namespace

std::string Reference::familiar_name() const {
  if (domain != kDefaultDomain) return domain + "/" + path;
  if (path.starts_with("library/") && path.find('/', 8) == std::string::npos) return path.substr(8);
  return path;
}

std::string Reference::familiar() const {
  std::string out = familiar_name();
  if (!tag.empty()) out += ":" + tag;
  if (!digest.empty()) out += "@" + digest;
  return out;
}

Result<Reference> parse_reference(const std::string& text, bool add_latest) {
  if (text.empty()) return invalid();
  if (is_hex_id(text)) {
    return fail(Errc::invalid_argument,
                "invalid repository name ({}), cannot specify 64-byte hexadecimal strings", text);
  }
  Reference out;
  std::string_view rest = text;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    out.digest = std::string(rest.substr(at + 1));
    rest = rest.substr(0, at);
    if (!is_digest(out.digest)) return invalid();
  }
  const auto slash = rest.rfind('/');
  const auto colon = rest.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    out.tag = std::string(rest.substr(colon + 1));
    rest = rest.substr(0, colon);
    if (!is_tag(out.tag)) return invalid();
  }
  if (rest.empty()) return invalid();
  split_domain(rest, out);
  if (lower(out.path) != out.path) {
    return fail(Errc::invalid_argument,
                "invalid reference format: repository name ({}) must be lowercase", out.path);
  }
  if (!is_domain(out.domain) || !is_path(out.path)) return invalid();
  if (out.path.size() > 255) {
    return fail(Errc::invalid_argument,
                "invalid reference format: repository name must not be more than 255 characters");
  }
  if (add_latest && out.tag.empty() && out.digest.empty()) out.tag = kDefaultTag;
  return out;
}

Result<Reference> parse_tag(const std::string& repository, const std::string& tag) {
  TRY(auto out, parse_reference(tag.empty() ? repository : repository + ":" + tag, true));
  if (!out.digest.empty()) return fail(Errc::invalid_argument, "cannot import digest reference");
  CHECK(check_ambiguous(out));
  return out;
}

Result<> check_ambiguous(const Reference& name) {
  if (name.tag.empty() || name.familiar_name() != "sha256") return {};
  return fail(Errc::invalid_argument,
              "refusing to create an ambiguous tag using digest algorithm as name");
}

std::string canonical_name(const Reference& reference) {
  return reference.domain + "/" + reference.path;
}

std::string canonical(const Reference& reference) {
  return canonical_name(reference) +
         (reference.digest.empty() ? ":" + reference.tag : "@" + reference.digest);
}

Result<Reference> from_canonical(const std::string& text) { return parse_reference(text, false); }

}  // namespace coracle::storage
