#include "engine/base/result.hpp"

#include <array>
#include <cerrno>

#include <string.h>

namespace coracle {
namespace {

struct Name {
  Errc code;
  const char* text;
};
constexpr std::array kNames = {
    Name{Errc::invalid_argument, "invalid_argument"},
    Name{Errc::unauthorized, "unauthorized"},
    Name{Errc::forbidden, "forbidden"},
    Name{Errc::not_found, "not_found"},
    Name{Errc::conflict, "conflict"},
    Name{Errc::unchanged, "unchanged"},
    Name{Errc::unsupported, "unsupported"},
    Name{Errc::unavailable, "unavailable"},
    Name{Errc::internal, "internal"},
};

}  // namespace

const char* name_of(Errc code) {
  for (const auto& n : kNames) {
    if (n.code == code) return n.text;
  }
  return "internal";
}

Errc errc_from_name(const std::string& name) {
  for (const auto& n : kNames) {
    if (name == n.text) return n.code;
  }
  return Errc::internal;
}

Error Error::prefixed(const std::string& step) const {
  return Error{code, sys, message.empty() ? step : step + ": " + message};
}

Errc errc_from_errno(int sys) {
  switch (sys) {
    case ENOENT:
    case ESRCH: return Errc::not_found;
    case EACCES:
    case EPERM:
    case EROFS: return Errc::forbidden;
    case EEXIST:
    case EBUSY:
    case ENOTEMPTY: return Errc::conflict;
    case EINVAL:
    case ELOOP:
    case ENOTDIR:
    case EISDIR:
    case ENAMETOOLONG: return Errc::invalid_argument;
    case ENOSYS:
    case EOPNOTSUPP: return Errc::unsupported;
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT: return Errc::unavailable;
    default: return Errc::internal;
  }
}

// Go's table was made of glibc's: the first letter became a small one, but not that of "RFS …".
std::string errno_text(int sys) {
  const char* known = ::strerrordesc_np(sys);
  if (known == nullptr) return fmt::format("errno {}", sys);
  std::string text(known);
  const auto is_between = [&](std::size_t i, char first, char last) {
    return i < text.size() && text[i] >= first && text[i] <= last;
  };
  if (is_between(0, 'A', 'Z') && is_between(1, 'a', 'z'))
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

Error make_sys_error(int sys, const std::string& text) {
  return Error{errc_from_errno(sys), sys, text + ": " + errno_text(sys)};
}

}  // namespace coracle
