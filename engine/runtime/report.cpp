#include "engine/runtime/report.hpp"

#include <unistd.h>

#include "engine/base/json.hpp"

namespace coracle::runtime {
namespace {

Error error_of(const Report& r) { return Error{errc_from_name(r.code), r.sys, r.message}; }

}  // namespace

Result<> report_ready(const UniqueFd& socket, const std::vector<int>& fds) {
  return send_message(socket, json::to_text(Report{"ready", "", 0, ""}), fds);
}

void report_error_and_exit(const UniqueFd& socket, const Error& error) {
  const Report report{"error", name_of(error.code), error.sys, error.message};
  (void)send_message(socket, json::to_text(report), {});
  ::_exit(kExitBeforeExec);
}

Result<std::vector<UniqueFd>> await_ready(const UniqueFd& socket) {
  auto message = receive_message(socket);
  if (!message && message.error().code == Errc::not_found)
    return fail(Errc::internal, "the container's first process ended before it was set up");
  if (!message) return std::unexpected(message.error());
  TRY(const auto report, json::from_text<Report>(message->text));
  if (report.event != "ready") return std::unexpected(error_of(report));
  return std::move(message->fds);
}

}  // namespace coracle::runtime
