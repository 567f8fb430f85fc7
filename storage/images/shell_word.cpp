#include "storage/images/shell_word.hpp"

#include <cctype>
#include <optional>
#include <utility>

#include "storage/images/shell_pattern.hpp"

namespace coracle::storage {
namespace {

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_letter(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::unexpected<Error> bad(std::string_view what) {
  return fail(Errc::invalid_argument, "syntax error: {}", what);
}

}  // namespace

// A word as it is made, and the words that it falls into.
struct WordExpander::Made {
  std::string whole;
  std::vector<std::string> words;
  std::string open;

  void raw(std::string_view text) {
    whole += text;
    open += text;
  }
  void loose(char c) {
    whole += c;
    if (!is_space(c)) {
      open += c;
    } else if (!open.empty()) {
      words.push_back(std::exchange(open, {}));
    }
  }
};

class WordExpander::Reader {
 public:
  Reader(WordExpander& of, std::string_view text) : of_(of), text_(text) {}

  // Up to `stop`, which is taken too, or to the end.
  //   raw  escapes stay: what is read is a pattern
  Result<Made> until(std::optional<char> stop, bool raw) {
    Made out;
    while (!at_end()) {
      const char c = next();
      if (c == stop) return out;
      if (c == '$') {
        TRY(const auto value, variable());
        for (const char v : value) out.loose(v);
      } else if (c == '\'' || c == '"') {
        TRY(const auto inner, c == '"' ? double_quoted(raw) : single_quoted());
        out.raw(inner);
      } else if (c == '\\') {
        if (raw) out.raw("\\");
        if (!at_end()) out.raw({&text_[at_++], 1});
      } else {
        out.loose(c);
      }
      CHECK(may_be(out.whole.size()));
    }
    if (stop)
      return fail(Errc::invalid_argument,
                  "unexpected end of statement while looking for matching {}", *stop);
    return out;
  }

 private:
  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
  [[nodiscard]] char peek() const { return at_end() ? '\0' : text_[at_]; }
  char next() { return text_[at_++]; }
  [[nodiscard]] Result<> may_be(std::size_t bytes) const {
    if (bytes <= of_.bytes_left_) return {};
    return fail(Errc::invalid_argument, "what variables come to is too long");
  }
  // Also what is thrown away again costs time.
  [[nodiscard]] Result<> spend(std::size_t bytes) const {
    if (bytes > of_.steps_left_)
      return fail(Errc::invalid_argument, "what variables come to is too long");
    of_.steps_left_ -= bytes;
    return {};
  }

  Result<std::string> single_quoted() {
    const auto end = text_.find('\'', at_);
    if (end == std::string_view::npos)
      return fail(Errc::invalid_argument,
                  "unexpected end of statement while looking for matching single-quote");
    const auto from = std::exchange(at_, end + 1);
    return std::string(text_.substr(from, end - from));
  }

  Result<std::string> double_quoted(bool raw) {
    std::string out;
    while (!at_end()) {
      const char c = next();
      if (c == '"') return out;
      if (c == '$') {
        TRY(const auto value, variable());
        out += value;
        CHECK(may_be(out.size()));
      } else if (c == '\\') {
        const bool escapes = peek() == '"' || peek() == '$' || peek() == '\\';
        if (raw || !escapes) out += c;
        if (escapes) out += next();
      } else {
        out += c;
      }
    }
    return fail(Errc::invalid_argument,
                "unexpected end of statement while looking for matching double-quote");
  }

  std::string_view name() {
    const auto from = at_;
    if (is_digit(peek())) {
      while (is_digit(peek())) ++at_;
    } else if (!at_end() && std::string_view("@*#?-$!").find(peek()) != std::string_view::npos) {
      ++at_;
    } else {
      while (is_name_letter(peek())) ++at_;
    }
    return text_.substr(from, at_ - from);
  }

  [[nodiscard]] std::optional<std::string_view> value_of(std::string_view variable) const {
    for (const auto& e : of_.env_) {
      const std::string_view entry = e;
      if (entry.starts_with(variable) && entry.substr(variable.size()).starts_with('='))
        return entry.substr(variable.size() + 1);
    }
    return std::nullopt;
  }

  // What a "$" begins.
  Result<std::string> variable() {
    if (peek() != '{') {
      const auto plain = name();
      if (plain.empty()) return "$";
      const auto value = value_of(plain).value_or("");
      CHECK(spend(value.size()));
      return std::string(value);
    }
    ++at_;
    if (at_end()) return bad("missing '}'");
    if (peek() == '{' || peek() == '}' || peek() == ':') return bad("bad substitution");
    const auto variable = name();
    if (at_end()) return bad("missing '}'");
    const auto value = value_of(variable);
    CHECK(spend(value ? value->size() : 0));
    if (peek() == '}') {
      ++at_;
      return std::string(value.value_or(""));
    }
    if (++nested_ > kMostNested) return bad("variables are nested too deeply");
    auto out = modified(variable, value);
    --nested_;
    return out;
  }

  Result<std::string> modified(std::string_view variable, std::optional<std::string_view> value) {
    const bool or_empty = peek() == ':';
    if (or_empty) ++at_;
    if (at_end()) return bad("missing '}'");
    const char how = next();
    if (how == '/' && !or_empty) return replaced(value.value_or(""));
    const bool pattern = (how == '#' || how == '%') && !or_empty;
    if (!pattern && how != '-' && how != '+' && how != '?')
      return fail(Errc::invalid_argument, "unsupported modifier ({}{}) in substitution",
                  or_empty ? ":" : "", how);
    TRY(const auto made, braced('}', pattern));
    const auto& word = made.whole;
    if (pattern) return trimmed_by(how, word, value.value_or(""));
    const bool set = value && !(or_empty && value->empty());
    if (how == '-') return set ? std::string(*value) : word;
    if (how == '+') return set ? word : "";
    if (set) return std::string(*value);
    const char* what = value ? "is not allowed to be empty" : "is not allowed to be unset";
    return fail(Errc::invalid_argument, "{}: {}", variable, word.empty() ? what : word);
  }

  Result<Made> braced(char stop, bool raw) {
    auto made = until(stop, raw);
    if (!made && at_end()) return bad(stop == '}' ? "missing '}'" : "missing '/' in ${}");
    return made;
  }

  Result<std::string> trimmed_by(char how, std::string_view text, std::string_view value) {
    const bool longest = text.starts_with(how);
    if (longest) text.remove_prefix(1);
    const ShellPattern pattern(text, of_.steps_left_);
    return how == '#' ? pattern.without_start(value, longest) : pattern.without_end(value, longest);
  }

  Result<std::string> replaced(std::string_view value) {
    const bool all = peek() == '/';
    if (all) ++at_;
    TRY(const auto pattern, braced('/', true));
    TRY(const auto by, braced('}', true));
    // Each byte may become the whole replacement.
    CHECK(may_be(by.whole.size() * value.size()));
    return ShellPattern(pattern.whole, of_.steps_left_).replaced(value, by.whole, all);
  }

  WordExpander& of_;
  std::string_view text_;
  std::size_t at_ = 0;
  int nested_ = 0;
};

Result<std::string> WordExpander::word(std::string_view text) {
  auto made = Reader(*this, text).until(std::nullopt, false);
  if (!made) return std::unexpected(made.error().within("failed to process \"{}\"", text));
  bytes_left_ -= made->whole.size();
  return std::move(made->whole);
}

Result<std::vector<std::string>> WordExpander::words(std::string_view text) {
  auto made = Reader(*this, text).until(std::nullopt, false);
  if (!made) return std::unexpected(made.error().within("failed to process \"{}\"", text));
  bytes_left_ -= made->whole.size();
  if (!made->open.empty()) made->words.push_back(std::move(made->open));
  return std::move(made->words);
}

std::vector<std::string> quoted_words(std::string_view line) {
  std::vector<std::string> out;
  std::optional<std::string> word;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote == 0 && is_space(c)) {
      if (word) out.push_back(*std::exchange(word, std::nullopt));
      continue;
    }
    if (!word) word.emplace();
    if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == '\\' && quote != '\'') {
      if (i + 1 == line.size()) break;  // one at the end escapes nothing
      *word += line[i++];
    }
    *word += line[i];
  }
  if (word && !word->empty()) out.push_back(*std::move(word));
  return out;
}

}  // namespace coracle::storage
