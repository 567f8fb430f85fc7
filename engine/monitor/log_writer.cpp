#include "engine/monitor/log_writer.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace coracle::monitor {
namespace {

constexpr std::size_t kMaxLine = 16 * 1024;
constexpr std::size_t kMaxBatch = 256 * 1024;

// Length of the UTF-8 sequence at the start of `s`, 0 when there is none. See RFC 3629 §4.
std::size_t utf8_length(std::string_view s) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < s.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return tail(1) ? 2 : 0;
  if (b >= 0xE0 && b <= 0xEF) {
    const bool second = tail(1, b == 0xE0 ? 0xA0 : 0x80, b == 0xED ? 0x9F : 0xBF);
    return second && tail(2) ? 3 : 0;
  }
  if (b >= 0xF0 && b <= 0xF4) {
    const bool second = tail(1, b == 0xF0 ? 0x90 : 0x80, b == 0xF4 ? 0x8F : 0xBF);
    return second && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

bool is_plain(unsigned char c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

void append_escape(std::string& out, unsigned char c) {
  constexpr const char* kHex = "0123456789abcdef";
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    default:
      out += "\\u00";
      out += kHex[c >> 4U];
      out += kHex[c & 0xFU];
  }
}

// Where a line of more than kMaxLine is cut: not inside a character.
std::size_t cut_of(std::string_view line) {
  std::size_t cut = kMaxLine;
  while (cut > kMaxLine - 4 && (static_cast<unsigned char>(line[cut]) & 0xC0U) == 0x80U) --cut;
  return cut > kMaxLine - 4 ? cut : kMaxLine;
}

void note(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size() && is_plain(static_cast<unsigned char>(text[plain]))) ++plain;
    out.append(text.data(), plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const std::size_t n = utf8_length(text);
    if (n == 0) {
      out += "\\ufffd";
    } else if (n == 1) {
      append_escape(out, static_cast<unsigned char>(text[0]));
    } else if (text.starts_with("\xE2\x80\xA8") || text.starts_with("\xE2\x80\xA9")) {
      out += text[2] == '\xA8' ? "\\u2028" : "\\u2029";  // line ends in JavaScript
    } else {
      out.append(text.data(), n);
    }
    text.remove_prefix(std::max<std::size_t>(n, 1));
  }
  out += '"';
}

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
    append_json_string(w.attrs_, attr.substr(0, equals));
    w.attrs_ += ':';
    append_json_string(w.attrs_, equals < attr.size() ? attr.substr(equals + 1) : "");
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
  append_json_string(batch_, text);
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
                     std::strerror(reason)));
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
