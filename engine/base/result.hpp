// Errors are values: what can fail returns Result<T>. See CONTRIBUTING.md.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

#include <fmt/core.h>

namespace coracle {

// What kind of answer an error is. The shim alone turns it into an HTTP status.
enum class Errc : std::uint8_t {
  invalid_argument,  // 400
  unauthorized,      // 401
  forbidden,         // 403
  not_found,         // 404
  conflict,          // 409
  unchanged,         // 304
  unsupported,       // 501
  unavailable,       // 503
  internal,          // 500
};

// The code as it stands in messages between our processes ("not_found").
const char* name_of(Errc code);
// The reverse; an unknown name is `internal`.
Errc errc_from_name(const std::string& name);

struct Error {
  Errc code = Errc::internal;
  int sys = 0;          // errno when a system call failed, else 0
  std::string message;  // outermost step first: "start web: mount /srv on /data: permission denied"

  // Puts a step before the message: `return std::unexpected(e.within("pull {}", ref));`
  template <class... Args>
  [[nodiscard]] Error within(fmt::format_string<Args...> text, Args&&... args) const {
    return prefixed(fmt::format(text, std::forward<Args>(args)...));
  }
  // The same error under another code, where the caller knows better what it means.
  [[nodiscard]] Error as(Errc other) const { return Error{other, sys, message}; }

 private:
  [[nodiscard]] Error prefixed(const std::string& step) const;
};

template <class T = void>
using Result = std::expected<T, Error>;

// An error of our own: `return fail(Errc::not_found, "No such image: {}", ref);`
template <class... Args>
std::unexpected<Error> fail(Errc code, fmt::format_string<Args...> text, Args&&... args) {
  return std::unexpected(Error{code, 0, fmt::format(text, std::forward<Args>(args)...)});
}

// The code that an errno stands for: ENOENT not_found, EACCES and EPERM forbidden, EEXIST and EBUSY
// conflict, EINVAL, ELOOP, ENOTDIR, ENAMETOOLONG invalid_argument, ENOSYS and EOPNOTSUPP
// unsupported, EMFILE, ENFILE and ENOSPC unavailable, the rest internal.
Errc errc_from_errno(int sys);

// "permission denied": in Go's words, which are those that clients and people look for.
std::string errno_text(int sys);

// An error from an errno; the reason (errno_text) is put behind the text.
Error make_sys_error(int sys, const std::string& text);

// From the errno of the call just made: `return sys_error("open {}", path);`
template <class... Args>
std::unexpected<Error> sys_error(fmt::format_string<Args...> text, Args&&... args) {
  const int sys = errno;
  return std::unexpected(make_sys_error(sys, fmt::format(text, std::forward<Args>(args)...)));
}
// The same for calls that return the errno.
template <class... Args>
std::unexpected<Error> sys_error_of(int sys, fmt::format_string<Args...> text, Args&&... args) {
  return std::unexpected(make_sys_error(sys, fmt::format(text, std::forward<Args>(args)...)));
}
// In words of our own, what an errno stands for: `return fail_as(ENOENT, "no such directory: {}", x);`
template <class... Args>
std::unexpected<Error> fail_as(int sys, fmt::format_string<Args...> text, Args&&... args) {
  return std::unexpected(
      Error{errc_from_errno(sys), sys, fmt::format(text, std::forward<Args>(args)...)});
}

}  // namespace coracle

// TRY(auto fd, open(...));  declares fd or returns the error.   CHECK(mkdir(...));  for Result<>.
// CO_TRY and CO_CHECK are the same in coroutines. (g++ 12 has no expected::and_then, and crashes on
// a co_await inside a statement expression; hence declarations.)
#define CORACLE_CAT2(a, b) a##b
#define CORACLE_CAT(a, b) CORACLE_CAT2(a, b)
#define CORACLE_TRY_IMPL(tmp, ret, decl, ...)                              \
  auto tmp = (__VA_ARGS__);                                                \
  if (!tmp) ret std::unexpected<::coracle::Error>(std::move(tmp).error()); \
  decl = *std::move(tmp)
#define CORACLE_CHECK_IMPL(tmp, ret, ...) \
  if (auto tmp = (__VA_ARGS__); !tmp) ret std::unexpected<::coracle::Error>(std::move(tmp).error())
#define TRY(decl, ...) CORACLE_TRY_IMPL(CORACLE_CAT(try_, __LINE__), return, decl, __VA_ARGS__)
#define CO_TRY(decl, ...) \
  CORACLE_TRY_IMPL(CORACLE_CAT(try_, __LINE__), co_return, decl, __VA_ARGS__)
#define CHECK(...) CORACLE_CHECK_IMPL(CORACLE_CAT(check_, __LINE__), return, __VA_ARGS__)
#define CO_CHECK(...) CORACLE_CHECK_IMPL(CORACLE_CAT(check_, __LINE__), co_return, __VA_ARGS__)
