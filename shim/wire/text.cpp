#include "shim/wire/text.hpp"

namespace coracle::wire {

std::string human_duration(std::chrono::nanoseconds time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return fmt::format("{} seconds", seconds);
  const auto minutes = seconds / 60;
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return fmt::format("{} minutes", minutes);
  const auto hours = (seconds + 1800) / 3600;
  if (hours == 1) return "About an hour";
  if (hours < 48) return fmt::format("{} hours", hours);
  if (hours < 24 * 7 * 2) return fmt::format("{} days", hours / 24);
  if (hours < 24 * 30 * 2) return fmt::format("{} weeks", hours / 24 / 7);
  if (hours < 24 * 365 * 2) return fmt::format("{} months", hours / 24 / 30);
  return fmt::format("{} years", hours / 24 / 365);
}

std::string status_text(const ContainerView& view, Time at) {
  if (view.damaged) return "Damaged: " + view.error;
  const auto since = [&](Time t) { return human_duration(std::chrono::nanoseconds(at.ns - t.ns)); };
  switch (view.status) {
    case Status::created: return "Created";
    case Status::removing: return "Removal In Progress";
    case Status::dead: return "Dead";
    case Status::paused: return fmt::format("Up {} (Paused)", since(view.started_at));
    case Status::restarting:
      return fmt::format("Restarting ({}) {} ago", view.exit_code, since(view.finished_at));
    case Status::exited:
      // One that never ran, because it could not be started.
      if (view.finished_at.ns == 0) return "Created";
      return fmt::format("Exited ({}) {} ago", view.exit_code, since(view.finished_at));
    case Status::running: break;
  }
  const std::string up = "Up " + since(view.started_at);
  if (!view.health || view.health->status.empty() || view.health->status == "none") return up;
  if (view.health->status == "starting") return up + " (health: starting)";
  return fmt::format("{} ({})", up, view.health->status);
}

}  // namespace coracle::wire
