#include "engine/monitor/streams/log_writer.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine/base/utf8.hpp"

namespace coracle::monitor {
namespace {

constexpr std::size_t kMaxLine = 16 * 1024;
constexpr std::size_t kMaxBatch = 256 * 1024;

// Where a line of more than kMaxLine is cut: not inside a character.
std::size_t cut_of(std::string_view line) { return utf8_whole(line.substr(0, kMaxLine)); }

void note(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

}  // namespace

Result<LogWriter> LogWriter::open(const LogOptions& options) {
  LogWriter w;
  w.path_ = options.path;
  if (options.driver == "none") return w;
  if (options.driver == "journald") {
    TRY(w.journal_, JournalWriter::open(options.path, options.attrs));
    w.kind_ = Kind::journal;
    return w;
  }
  if (options.driver != "json-file" && options.driver != "local")
    return fail(Errc::invalid_argument,
                "log driver {}: only json-file, local, journald and none are known",
                options.driver);
  w.kind_ = Kind::file;
  for (const auto& attr : options.attrs) {
    const auto equals = std::min(attr.find('='), attr.size());
    w.attrs_ += w.attrs_.empty() ? ",\"attrs\":{" : ",";
    append_json_string(w.attrs_, attr.substr(0, equals), JsonStyle::log);
    w.attrs_ += ':';
    append_json_string(w.attrs_, equals < attr.size() ? attr.substr(equals + 1) : "",
                       JsonStyle::log);
  }
  if (!w.attrs_.empty()) w.attrs_ += '}';
  TRY(w.file_, LogFile::open(options.path, {options.max_size, options.max_file, options.compress}));
  return w;
}

void LogWriter::write(Stream stream, std::string_view data) {
  if (kind_ == Kind::none) return;
  add_lines(stream, data);
  flush();
}

void LogWriter::add_lines(Stream stream, std::string_view data) {
  std::string& partial = partial_.at(stream == Stream::out ? 0 : 1);
  while (!data.empty()) {
    const auto newline = data.find('\n');
    const bool whole = newline != std::string_view::npos;
    std::string_view line = data.substr(0, whole ? newline + 1 : data.size());
    data.remove_prefix(line.size());
    if (whole && partial.empty() && line.size() <= kMaxLine + 1) {
      add_entry(stream, line);
      continue;
    }
    partial += line;
    std::string_view rest = partial;
    // The line's own newline does not count: 16 KiB and a newline are one entry.
    while (rest.size() - (rest.ends_with('\n') ? 1 : 0) > kMaxLine) {
      const std::size_t cut = cut_of(rest);
      add_entry(stream, rest.substr(0, cut));
      rest.remove_prefix(cut);
    }
    if (whole) {
      add_entry(stream, rest);
      partial.clear();
    } else {
      partial.erase(0, partial.size() - rest.size());
    }
  }
}

void LogWriter::add_entry(Stream stream, std::string_view text) {
  if (kind_ == Kind::journal) return write_to_journal(stream, text);
  last_ = Time{std::max(now().ns, last_.ns + 1)};
  batch_ += "{\"log\":";
  append_json_string(batch_, text, JsonStyle::log);
  batch_ += stream == Stream::out ? ",\"stream\":\"stdout\"" : ",\"stream\":\"stderr\"";
  batch_ += attrs_;
  batch_ += ",\"time\":\"";
  batch_ += to_rfc3339(last_);
  batch_ += "\"}\n";
  ++batch_lines_;
  if (file_.full_with(batch_.size()) || batch_.size() >= kMaxBatch) flush();
}

void LogWriter::flush() {
  if (batch_.empty()) return;
  if (const auto written = file_.append(batch_); !written) return lose(written.error().sys);
  batch_.clear();
  batch_lines_ = 0;
  found_again();
}

void LogWriter::write_to_journal(Stream stream, std::string_view text) {
  constexpr int kError = 3, kInfo = 6;  // of syslog(3)
  const bool partial = !text.ends_with('\n');
  if (!partial) text.remove_suffix(1);
  ++batch_lines_;
  if (const auto written = journal_.write(stream == Stream::out ? kInfo : kError, text, partial);
      !written)
    return lose(written.error().sys);
  batch_lines_ = 0;
  found_again();
}

void LogWriter::lose(int reason) {
  if (!losing_)
    note(fmt::format("log cannot be written, its lines are lost path={} reason={}", path_,
                     errno_text(reason)));
  losing_ = true;
  lost_ += batch_lines_;
  batch_.clear();
  batch_lines_ = 0;
}

void LogWriter::found_again() {
  if (losing_) note(fmt::format("log written again path={} lost_lines={}", path_, lost_));
  losing_ = false;
}

void LogWriter::finish() {
  if (kind_ == Kind::none) return;
  for (const Stream stream : {Stream::out, Stream::err}) {
    std::string& partial = partial_.at(stream == Stream::out ? 0 : 1);
    if (!partial.empty()) add_entry(stream, partial);
    partial.clear();
  }
  flush();
}

void LogWriter::trim() {
  if (kind_ == Kind::file) file_.tidy();
  batch_.shrink_to_fit();
  for (auto& partial : partial_) partial.shrink_to_fit();
}

}  // namespace coracle::monitor
