#include "engine/bundle/yaml.hpp"

#include <charconv>
#include <cstdint>
#include <string_view>

#include <yaml.h>

#include "engine/base/json.hpp"

namespace coracle {
namespace {

constexpr int kDeepestNesting = 32;

class Parser {
 public:
  explicit Parser(const std::string& text) {
    ready_ = ::yaml_parser_initialize(&parser_) != 0;
    if (!ready_) return;
    ::yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                   text.size());
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  ~Parser() {
    if (ready_) ::yaml_parser_delete(&parser_);
  }

  Result<json::Value> document() {
    if (!ready_) return fail(Errc::internal, "yaml: no memory");
    for (;;) {
      TRY(const auto event, next());
      if (event.type == YAML_STREAM_END_EVENT) return json::Value(nullptr);
      if (event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT)
        continue;
      return value_of(event, 0);
    }
  }

 private:
  struct Event {
    yaml_event_type_t type = YAML_NO_EVENT;
    std::string text;
    bool plain = false;
    std::size_t line = 0;
  };

  Result<Event> next() {
    yaml_event_t raw;
    if (::yaml_parser_parse(&parser_, &raw) == 0)
      return fail(Errc::invalid_argument, "line {}: {}", parser_.problem_mark.line + 1,
                  parser_.problem != nullptr ? parser_.problem : "no YAML");
    Event out;
    out.type = raw.type;
    out.line = raw.start_mark.line + 1;
    bool anchored = raw.type == YAML_ALIAS_EVENT;
    if (raw.type == YAML_SCALAR_EVENT) {
      const auto& s = raw.data.scalar;
      out.text.assign(reinterpret_cast<const char*>(s.value), s.length);
      out.plain = s.style == YAML_PLAIN_SCALAR_STYLE && s.plain_implicit != 0;
      anchored = s.anchor != nullptr;
    } else if (raw.type == YAML_MAPPING_START_EVENT) {
      anchored = raw.data.mapping_start.anchor != nullptr;
    } else if (raw.type == YAML_SEQUENCE_START_EVENT) {
      anchored = raw.data.sequence_start.anchor != nullptr;
    }
    ::yaml_event_delete(&raw);
    if (anchored)
      return fail(Errc::invalid_argument, "line {}: anchors and aliases are not taken", out.line);
    return out;
  }

  Result<json::Value> value_of(const Event& event, int depth) {
    if (depth > kDeepestNesting)
      return fail(Errc::invalid_argument, "line {}: too deep", event.line);
    switch (event.type) {
      case YAML_SCALAR_EVENT: return event.plain ? typed(event.text) : json::Value(event.text);
      case YAML_SEQUENCE_START_EVENT: return sequence(depth);
      case YAML_MAPPING_START_EVENT: return mapping(depth);
      default: return fail(Errc::invalid_argument, "line {}: a value is expected", event.line);
    }
  }

  Result<json::Value> sequence(int depth) {
    boost::json::array out;
    for (;;) {
      TRY(const auto event, next());
      if (event.type == YAML_SEQUENCE_END_EVENT) return json::Value(std::move(out));
      TRY(auto value, value_of(event, depth + 1));
      out.push_back(std::move(value));
    }
  }

  Result<json::Value> mapping(int depth) {
    boost::json::object out;
    for (;;) {
      TRY(const auto key, next());
      if (key.type == YAML_MAPPING_END_EVENT) return json::Value(std::move(out));
      if (key.type != YAML_SCALAR_EVENT)
        return fail(Errc::invalid_argument, "line {}: a key is expected", key.line);
      TRY(const auto event, next());
      TRY(auto value, value_of(event, depth + 1));
      out[key.text] = std::move(value);
    }
  }

  static json::Value typed(const std::string& text) {
    if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
      return nullptr;
    if (text == "true" || text == "True" || text == "TRUE") return true;
    if (text == "false" || text == "False" || text == "FALSE") return false;
    std::string_view digits = text;
    const bool negative = digits.starts_with('-');
    if (negative || digits.starts_with('+')) digits.remove_prefix(1);
    int base = 10;
    if (digits.size() > 2 && (digits.starts_with("0x") || digits.starts_with("0o"))) {
      base = digits[1] == 'x' ? 16 : 8;
      digits.remove_prefix(2);
    } else if (digits.size() > 1 && digits.front() == '0') {
      base = 8;
    }
    std::int64_t value = 0;
    const auto [end, ec] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (digits.empty() || digits.front() == '-' || ec != std::errc{} ||
        end != digits.data() + digits.size())
      return json::Value(text);
    return negative ? -value : value;
  }

  yaml_parser_t parser_{};
  bool ready_ = false;
};

}  // namespace

Result<json::Value> parse_yaml(const std::string& text) { return Parser(text).document(); }

}  // namespace coracle
