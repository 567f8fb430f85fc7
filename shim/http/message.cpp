#include "shim/http/message.hpp"

#include <algorithm>
#include <charconv>

#include "engine/base/text.hpp"

namespace coracle::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string to_string(ApiVersion version) {
  return fmt::format("{}.{}", version.major_part, version.minor_part);
}

std::optional<ApiVersion> parse_version(std::string_view text) {
  const auto dot = text.find('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == text.size() || text.size() > 12)
    return std::nullopt;
  ApiVersion v;
  const char* end = text.data() + text.size();
  const auto a = std::from_chars(text.data(), text.data() + dot, v.major_part);
  const auto b = std::from_chars(text.data() + dot + 1, end, v.minor_part);
  if (a.ec != std::errc{} || b.ec != std::errc{} || a.ptr != text.data() + dot || b.ptr != end ||
      v.major_part < 0 || v.minor_part < 0)
    return std::nullopt;
  return v;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      const int high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        return fail(Errc::invalid_argument, "invalid URL escape \"{}\"", text.substr(i, 3));
      // No name and no path holds one; as a C string it would stand for another.
      if (high == 0 && low == 0)
        return fail(Errc::invalid_argument, "invalid URL escape \"%00\": a NUL");
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(plus_is_blank && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

Result<Query> Query::parse(std::string_view text) {
  Pairs pairs;
  while (!text.empty()) {
    const auto part = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    if (part.empty()) continue;
    const auto equals = part.find('=');
    TRY(auto name, percent_decode(part.substr(0, equals), true));
    std::string value;
    if (equals != std::string_view::npos) {
      TRY(value, percent_decode(part.substr(equals + 1), true));
    }
    pairs.emplace_back(std::move(name), std::move(value));
  }
  return Query(std::move(pairs));
}

bool Query::has(std::string_view name) const {
  return std::ranges::any_of(pairs_, [&](const auto& p) { return p.first == name; });
}

std::string Query::text(std::string_view name) const {
  for (const auto& [key, value] : pairs_) {
    if (key == name) return value;
  }
  return {};
}

std::vector<std::string> Query::list(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [key, value] : pairs_) {
    if (key == name) out.push_back(value);
  }
  return out;
}

bool Query::flag(std::string_view name, bool when_absent) const {
  if (!has(name)) return when_absent;
  const auto value = lower(trimmed(text(name)));
  return !(value.empty() || value == "0" || value == "no" || value == "false" || value == "none");
}

Result<std::optional<std::int64_t>> Query::number(std::string_view name) const {
  const auto value = text(name);
  if (value.empty()) return std::nullopt;
  std::int64_t n = 0;
  const char* begin = value.data() + (value.front() == '+' ? 1 : 0);
  const auto [end, ec] = std::from_chars(begin, value.data() + value.size(), n);
  if (ec != std::errc{} || end != value.data() + value.size())
    return fail(Errc::invalid_argument, "parameter {}: \"{}\" is not a whole number", name, value);
  return n;
}

std::string Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

Reply json_reply(std::string text, int status) {
  Reply r;
  r.status = status;
  r.type = "application/json";
  r.body = std::move(text);
  r.body.push_back('\n');
  return r;
}

Reply empty_reply(int status) {
  Reply r;
  r.status = status;
  return r;
}

Reply sent_reply() {
  Reply r;
  r.sent = true;
  return r;
}

// The status line and the headers that every answer has.
std::string head_text(const Reply& reply, std::string_view framing) {
  static const std::string kConstant = fmt::format(
      "Server: Docker/{} (linux)\r\nApi-Version: {}\r\nOstype: linux\r\n"
      "Docker-Experimental: false\r\n",
      kDockerRelease, to_string(kMaxVersion));
  std::string out =
      fmt::format("HTTP/1.1 {} {}\r\n{}", reply.status, reason_of(reply.status), kConstant);
  if (!reply.type.empty()) out += fmt::format("Content-Type: {}\r\n", reply.type);
  for (const auto& [name, value] : reply.headers) out += fmt::format("{}: {}\r\n", name, value);
  out += framing;
  out += "\r\n";
  return out;
}

const char* reason_of(int status) {
  switch (status) {
    case 101: return "UPGRADED";
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Request Entity Too Large";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    default: return "Internal Server Error";
  }
}

}  // namespace coracle::http
