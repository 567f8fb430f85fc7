// Regular expressions that clients send, in Docker's dialect: Go's regexp is RE2, and so is this.
// RE2 takes time in proportion to the text, whatever the pattern; its length, its program and how
// many a request may hold are bounded. The one place for expressions: std::regex and regcomp(3)
// run for ever, or out of stack, on hostile ones.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/face/types.hpp"

namespace re2 {
class RE2;
}

namespace coracle {

constexpr std::size_t kLongestPattern = 1000;
// In one request, and the steps that all of them may take for a letter.
constexpr std::size_t kMostPatterns = 100;
constexpr int kMostSteps = 10'000;

class Pattern {
 public:
  // errors  invalid_argument "error parsing regexp: `(`: missing )"
  static Result<Pattern> compile(const std::string& text);
  // Is it found anywhere in the text?
  [[nodiscard]] bool matches(std::string_view text) const;
  // How many steps a letter may take at most.
  [[nodiscard]] int steps() const;

 private:
  std::shared_ptr<const re2::RE2> compiled_;
};

// The `name` filter of a list, made ready once for all of it.
class NameFilter {
 public:
  explicit NameFilter(const Filters& filters);
  // One of the patterns is found in it, or it is one of them: a pattern that is none means only
  // that, as at Docker.
  [[nodiscard]] bool matches(std::string_view name) const;

 private:
  std::vector<std::string> texts_;
  std::vector<Pattern> patterns_;
};
// errors  invalid_argument: too many, too long, or too costly together
Result<> check_name_filter(const Filters& filters);

// The `label` filter: "k" or "k=v", among labels.
bool has_label(const std::map<std::string, std::string>& labels, const std::string& wanted);

}  // namespace coracle
