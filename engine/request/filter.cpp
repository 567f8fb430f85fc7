#include "engine/request/filter.hpp"

#include <algorithm>

#include <re2/re2.h>

namespace coracle {
namespace {

constexpr std::int64_t kMostMemory = std::int64_t{256} << 10;  // of a program and its states
constexpr std::size_t kShown = 100;                            // of a pattern in an error

const std::vector<std::string>& names_of(const Filters& filters) {
  static const std::vector<std::string> kNone;
  const auto found = filters.find("name");
  return found == filters.end() ? kNone : found->second;
}

}  // namespace

Result<Pattern> Pattern::compile(const std::string& text) {
  const auto bad = [&text](std::string_view why) {
    return fail(Errc::invalid_argument, "error parsing regexp: `{}`: {}", text.substr(0, kShown),
                why);
  };
  if (text.size() > kLongestPattern)
    return bad(fmt::format("it is longer than {} bytes", kLongestPattern));
  RE2::Options options;
  options.set_max_mem(kMostMemory);
  options.set_log_errors(false);
  options.set_never_capture(true);
  Pattern pattern;
  pattern.compiled_ = std::make_shared<const RE2>(text, options);
  if (!pattern.compiled_->ok()) return bad(pattern.compiled_->error());
  return pattern;
}

bool Pattern::matches(std::string_view text) const {
  return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *compiled_);
}

int Pattern::steps() const { return compiled_->ProgramSize(); }

NameFilter::NameFilter(const Filters& filters) : texts_(names_of(filters)) {
  for (const auto& text : texts_) {
    if (auto pattern = Pattern::compile(text)) patterns_.push_back(*std::move(pattern));
  }
}

bool NameFilter::matches(std::string_view name) const {
  return std::ranges::find(texts_, name) != texts_.end() ||
         std::ranges::any_of(patterns_, [&](const Pattern& p) { return p.matches(name); });
}

Result<> check_name_filter(const Filters& filters) {
  const auto& names = names_of(filters);
  if (names.size() > kMostPatterns) {
    return fail(Errc::invalid_argument, "invalid filter 'name': {} patterns, {} are possible",
                names.size(), kMostPatterns);
  }
  int steps = 0;
  for (const auto& text : names) {
    if (text.size() > kLongestPattern) {
      return fail(Errc::invalid_argument, "invalid filter 'name={}…': it is longer than {} bytes",
                  text.substr(0, kShown), kLongestPattern);
    }
    if (const auto pattern = Pattern::compile(text)) steps += pattern->steps();
    if (steps > kMostSteps)
      return fail(Errc::invalid_argument, "invalid filter 'name': the patterns are too large");
  }
  return {};
}

bool has_label(const std::map<std::string, std::string>& labels, const std::string& wanted) {
  const auto eq = wanted.find('=');
  const auto found = labels.find(wanted.substr(0, eq));
  return found != labels.end() &&
         (eq == std::string::npos || found->second == wanted.substr(eq + 1));
}

}  // namespace coracle
