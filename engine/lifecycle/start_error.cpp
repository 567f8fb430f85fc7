#include "engine/lifecycle/start_error.hpp"

#include <cerrno>

#include "engine/keeper_watch.hpp"
#include "engine/spec/exit_code.hpp"

namespace coracle {
Error runtime_error(const Error& e) {
  const bool command = exit_code_of_failed_start(e) != 128;
  auto code = command ? Errc::invalid_argument : e.code;
  if (!command && (e.code == Errc::not_found || e.code == Errc::unchanged ||
                   e.code == Errc::conflict || e.code == Errc::forbidden))
    code = Errc::internal;
  return e.within("failed to create task for container: OCI runtime create failed").as(code);
}

Error network_error(const Error& e, const Container& c, const std::string& exec_root) {
  if (e.sys == EADDRINUSE)
    return e
        .within(
            "failed to set up container networking: driver failed programming external "
            "connectivity on endpoint {} ({})",
            c.name(), c.id())
        .as(Errc::internal);
  const auto trouble = e.code == Errc::unavailable ? keeper_trouble(exec_root) : std::string();
  if (!trouble.empty())
    return Error{Errc::unavailable, e.sys, "failed to set up container networking: " + trouble};
  return e.within("failed to set up container networking")
      .as(e.code == Errc::unavailable ? Errc::unavailable : Errc::internal);
}

}  // namespace coracle
