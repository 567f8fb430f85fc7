#include "engine/logs/journal.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <systemd/sd-journal.h>

namespace coracle {
namespace {

constexpr std::size_t kBatch = 500;
constexpr std::size_t kLongestJournalLine = 1024 * 1024;

using Journal = std::unique_ptr<sd_journal, decltype(&::sd_journal_close)>;

Result<Journal> open_journal() {
  sd_journal* opened = nullptr;
  if (const int r = ::sd_journal_open(&opened, SD_JOURNAL_LOCAL_ONLY); r < 0)
    return std::unexpected(
        sys_error_of(-r, "open systemd's journal").error().as(Errc::unavailable));
  return Journal(opened, &::sd_journal_close);
}

Result<Journal> open_journal(const std::string& id) {
  TRY(auto journal, open_journal());
  const auto match = "CONTAINER_ID_FULL=" + id;
  if (const int r = ::sd_journal_add_match(journal.get(), match.data(), match.size()); r < 0)
    return sys_error_of(-r, "search systemd's journal");
  return journal;
}

std::string field(sd_journal* journal, const char* name) {
  const void* data = nullptr;
  std::size_t size = 0;
  if (::sd_journal_get_data(journal, name, &data, &size) < 0) return {};
  const std::string_view text(static_cast<const char*>(data), size);
  return std::string(text.substr(std::min(text.size(), text.find('=') + 1)));
}

// Fields that we and the journal add are none of the container's attributes.
bool is_attribute(std::string_view name) {
  for (const char* ours : {"MESSAGE", "PRIORITY", "CONTAINER_ID", "CONTAINER_ID_FULL",
                           "CONTAINER_NAME", "CONTAINER_TAG", "IMAGE_NAME",
                           "CONTAINER_PARTIAL_MESSAGE", "SYSLOG_IDENTIFIER", "SYSLOG_TIMESTAMP"}) {
    if (name == ours) return false;
  }
  return !name.starts_with('_');
}

std::vector<std::string> attributes(sd_journal* journal) {
  std::vector<std::string> out;
  ::sd_journal_restart_data(journal);
  const void* data = nullptr;
  std::size_t size = 0;
  while (::sd_journal_enumerate_data(journal, &data, &size) > 0) {
    const std::string_view text(static_cast<const char*>(data), size);
    if (is_attribute(text.substr(0, text.find('=')))) out.emplace_back(text);
  }
  std::sort(out.begin(), out.end());
  return out;
}

LogEntry entry_of(sd_journal* journal) {
  LogEntry entry;
  entry.is_err = field(journal, "PRIORITY") == "3";
  entry.text = field(journal, "MESSAGE");
  if (const auto time = from_rfc3339(field(journal, "SYSLOG_TIMESTAMP"))) {
    entry.time = *time;
  } else {
    std::uint64_t us = 0;
    ::sd_journal_get_realtime_usec(journal, &us);
    entry.time = Time{static_cast<std::int64_t>(us) * 1000};
  }
  entry.attrs = attributes(journal);
  return entry;
}

// Stands before the entry that is to be read first, so that sd_journal_next() gives it.
void seek_first(sd_journal* journal, const LogOptions& options) {
  if (options.tail) {
    ::sd_journal_seek_tail(journal);
    // One more than wanted: next() goes on behind it.
    std::uint64_t wanted = *options.tail;
    int moved = ::sd_journal_previous(journal);
    for (; moved > 0; moved = ::sd_journal_previous(journal)) {
      const bool is_err = field(journal, "PRIORITY") == "3";
      const bool ends = field(journal, "CONTAINER_PARTIAL_MESSAGE").empty();
      const bool counts = ends && (is_err ? options.err : options.out);
      if (counts && wanted == 0) return;
      if (counts) --wanted;
    }
    ::sd_journal_seek_head(journal);
  } else if (options.since.ns > 0) {
    ::sd_journal_seek_realtime_usec(journal, static_cast<std::uint64_t>(options.since.ns / 1000));
  } else {
    ::sd_journal_seek_head(journal);
  }
}

}  // namespace

Result<> check_journal() {
  TRY(const auto journal, open_journal());
  // Files that this user may not read are passed over without a word.
  if (::sd_journal_has_persistent_files(journal.get()) == 0 &&
      ::sd_journal_has_runtime_files(journal.get()) == 0)
    return fail(Errc::unavailable,
                "systemd's journal has nothing that this user may read: it is kept in memory only, "
                "or this user has none of its own yet; an administrator can make /var/log/journal "
                "(and restart systemd-journald), or add the user to the group systemd-journal");
  return {};
}

Result<std::vector<LogEntry>> LogJournal::read() {
  TRY(const auto opened, open_journal(id_));
  sd_journal* journal = opened.get();
  if (cursor_.empty()) {
    seek_first(journal, options_);
  } else {
    ::sd_journal_seek_cursor(journal, cursor_.c_str());
    ::sd_journal_next(journal);  // to the entry itself
  }
  std::vector<LogEntry> entries;
  bool moved = cursor_.empty();
  while (entries.size() < kBatch && !past_until_ && ::sd_journal_next(journal) > 0) {
    moved = true;
    auto entry = entry_of(journal);
    if (options_.until.ns != 0 && entry.time > options_.until) past_until_ = true;
    if (past_until_ || entry.time < options_.since || !(entry.is_err ? options_.err : options_.out))
      continue;
    const bool partial = !field(journal, "CONTAINER_PARTIAL_MESSAGE").empty();
    if (any_unfinished_) {
      unfinished_.text += entry.text;
      entry = std::move(unfinished_);
    }
    any_unfinished_ = partial && entry.text.size() < kLongestJournalLine;
    if (any_unfinished_) {
      unfinished_ = std::move(entry);
      continue;
    }
    if (!partial) entry.text += '\n';
    entries.push_back(std::move(entry));
  }
  char* cursor = nullptr;
  if (moved && ::sd_journal_get_cursor(journal, &cursor) >= 0) {
    cursor_ = cursor;
    std::free(cursor);
  }
  return entries;
}

std::vector<LogEntry> LogJournal::take_unfinished() {
  std::vector<LogEntry> entries;
  if (any_unfinished_) entries.push_back(std::move(unfinished_));
  any_unfinished_ = false;
  return entries;
}

}  // namespace coracle
