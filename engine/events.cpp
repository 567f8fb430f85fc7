// The file is appended to, a line an event; after kEventsKept lines, or kEventBytesKept, it becomes
// events.jsonl.1 and a new one begins, so that both together hold at least that many.
#include "engine/events.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/request/filter.hpp"

namespace coracle {
namespace {

std::string attribute(const Event& e, const char* key) {
  const auto found = e.attributes.find(key);
  return found == e.attributes.end() ? std::string{} : found->second;
}

// An object is named by its id, a prefix of it, or its name.
bool names_actor(const Event& e, const char* type, const std::vector<std::string>& wanted) {
  const auto by = [&](const std::string& id, const std::string& name) {
    return std::ranges::any_of(wanted, [&](const std::string& w) {
      return !w.empty() && (w == name || id.starts_with(w) || (w[0] == '/' && w.substr(1) == name));
    });
  };
  if (e.type == type) return by(e.actor_id, attribute(e, "name"));
  // A volume's mount names the container as an attribute, and so does a network's connect.
  if (std::string_view(type) == "container") {
    const auto id = attribute(e, "container");
    return !id.empty() && by(id, "");
  }
  return false;
}

std::string without_tag(const std::string& image) {
  const auto slash = image.rfind('/');
  const auto colon = image.rfind(':');
  if (colon == std::string::npos || (slash != std::string::npos && colon < slash)) return image;
  return image.substr(0, colon);
}

bool names_image(const Event& e, const std::vector<std::string>& wanted) {
  const std::string name = e.type == "image" ? attribute(e, "name") : attribute(e, "image");
  const std::string id = e.type == "image" ? e.actor_id : std::string{};
  return std::ranges::any_of(wanted, [&](const std::string& w) {
    return w == name || w == id || without_tag(w) == without_tag(name) ||
           (!id.empty() && (id.starts_with(w) || id.starts_with("sha256:" + w)));
  });
}

bool is_action(const Event& e, const std::vector<std::string>& wanted) {
  return std::ranges::any_of(
      wanted, [&](const std::string& w) { return e.action == w || e.action.starts_with(w + ":"); });
}

bool is_exec(const Event& e) { return e.action.starts_with("exec_"); }

std::size_t size_of(const Event& e) {
  std::size_t n = sizeof e + e.type.size() + e.action.size() + e.actor_id.size();
  for (const auto& [key, value] : e.attributes) n += key.size() + value.size() + 64;
  return n;
}

}  // namespace

bool event_matches(const Event& e, const Filters& filters) {
  for (const auto& [key, values] : filters) {
    if (values.empty()) continue;
    bool ok = true;
    if (key == "type") {
      ok = std::ranges::find(values, e.type) != values.end();
    } else if (key == "event") {
      ok = is_action(e, values);
    } else if (key == "image") {
      ok = names_image(e, values);
    } else if (key == "label") {
      ok = std::ranges::all_of(values, [&](const auto& w) { return has_label(e.attributes, w); });
    } else if (key == "scope") {
      ok = std::ranges::find(values, "local") != values.end();
    } else {
      ok = names_actor(e, key.c_str(), values);
    }
    if (!ok) return false;
  }
  return true;
}

void EventLog::Ring::add(Kept kept) {
  bytes += kept.bytes;
  items.push_back(std::move(kept));
  while (items.size() > 1 && (items.size() > most || bytes > most_bytes)) {
    bytes -= items.front().bytes;
    items.pop_front();
  }
}

const EventLog::Kept* EventLog::Ring::from(std::uint64_t number) const {
  const auto found = std::ranges::lower_bound(items, number, {}, &Kept::number);
  return found == items.end() ? nullptr : &*found;
}

void EventLog::keep(Event event) {
  Ring& ring = is_exec(event) ? execs_ : others_;
  const std::size_t bytes = size_of(event);
  ring.add({next_++, bytes, std::move(event)});
}

const EventLog::Kept* EventLog::from(std::uint64_t number) const {
  const Kept* a = others_.from(number);
  const Kept* b = execs_.from(number);
  if (a == nullptr || b == nullptr) return a == nullptr ? b : a;
  return a->number < b->number ? a : b;
}

std::shared_ptr<EventLog> EventLog::open(asio::io_context& io, const std::string& data_root) {
  auto made = std::make_shared<EventLog>(io, data_root + "/events.jsonl");
  bool execs = false;
  for (const std::string& path : {made->path_ + ".1", made->path_}) {
    const auto text = read_file(path);
    made->lines_ = made->bytes_ = 0;
    if (!text) continue;
    made->bytes_ = text->size();
    std::size_t at = 0;
    while (at < text->size()) {
      const auto end = std::min(text->find('\n', at), text->size());
      auto event = json::from_text<Event>(std::string_view(*text).substr(at, end - at));
      if (event && is_exec(*event)) {
        execs = true;
      } else if (event) {
        made->keep(*std::move(event));
      }
      ++made->lines_;
      at = end + 1;
    }
  }
  if (execs) made->drop_execs_from_file();
  return made;
}

// An older version wrote the command lines of execs, too.
void EventLog::drop_execs_from_file() {
  std::string text;
  for (const auto& kept : others_.items) text += json::to_text(kept.event) + "\n";
  auto done = write_file_atomic(path_, text);
  if (done && ::unlink((path_ + ".1").c_str()) != 0 && errno != ENOENT)
    done = sys_error("remove {}.1", path_);
  if (!done)
    log::warn("command lines of earlier execs stay in the events' file reason={}",
              done.error().message);
  lines_ = others_.items.size();
  bytes_ = text.size();
}

void EventLog::append(const Event& event) {
  if (is_exec(event) || size_of(event) > kLongestEventWritten) return;
  if (lines_ >= kEventsKept || bytes_ >= kEventBytesKept) {
    file_.reset();
    ::rename(path_.c_str(), (path_ + ".1").c_str());
    lines_ = bytes_ = 0;
  }
  if (!file_) file_.reset(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  const std::string line = json::to_text(event) + "\n";
  const auto wrote = file_ ? write_all(file_, line) : Result<>(sys_error("open {}", path_));
  if (!wrote && !write_failed_)
    log::warn("events are not kept over a restart reason={}", wrote.error().message);
  write_failed_ = !wrote;
  ++lines_;
  bytes_ += line.size();
}

void EventLog::add(Event event) {
  if (event.time.ns == 0) event.time = now();
  append(event);
  keep(std::move(event));
  changed_.notify_all();
}

void EventLog::close() {
  closed_ = true;
  changed_.notify_all();
}

class Listener : public EventStream {
 public:
  Listener(std::shared_ptr<EventLog> log, Time since, Time until, Filters filters)
      : log_(std::move(log)), since_(since), until_(until), filters_(std::move(filters)) {
    next_ = since_.ns == 0 ? log_->next_ : 0;
    ++log_->listeners_;
  }
  ~Listener() override { --log_->listeners_; }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  Task<std::optional<Event>> next() override {
    for (;;) {
      while (const auto* kept = log_->from(next_)) {
        next_ = kept->number + 1;
        const Event& e = kept->event;
        if (e.time < since_ || (until_.ns != 0 && e.time > until_)) continue;
        if (event_matches(e, filters_)) co_return std::optional<Event>(e);
      }
      if (log_->closed_) co_return std::optional<Event>();
      if (until_.ns != 0) {
        const auto at = now();
        if (until_ <= at) co_return std::optional<Event>();
        const auto left_ms = (until_.ns - at.ns + 999'999) / 1'000'000;
        co_await log_->changed_.wait_for(std::chrono::milliseconds(left_ms));
      } else {
        co_await log_->changed_.wait();
      }
      const auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none)
        co_return fail(Errc::unavailable, "the event stream was given up");
    }
  }

 private:
  std::shared_ptr<EventLog> log_;
  Time since_, until_;
  Filters filters_;
  std::uint64_t next_ = 0;
};

Result<std::unique_ptr<EventStream>> EventLog::listen(Time since, Time until, Filters filters) {
  CHECK(check_filter_keys(filters, kEventFilterKeys));
  // `until` alone replays nothing before now, unless it lies in the past.
  if (since.ns == 0 && until.ns != 0 && until <= now()) since = Time{1};
  return std::make_unique<Listener>(shared_from_this(), since, until, std::move(filters));
}

}  // namespace coracle
