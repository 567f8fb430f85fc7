#include "engine/request/image_rules.hpp"

#include <algorithm>

#include <fnmatch.h>

#include "engine/request/filter.hpp"
#include "engine/request/until.hpp"

namespace coracle {
namespace {

bool keep_references(storage::Image& image, const std::vector<std::string>& patterns) {
  const auto other = [&](const auto& name) {
    return std::ranges::none_of(
        patterns, [&](const auto& pattern) { return reference_matches(pattern, name); });
  };
  std::erase_if(image.repo_tags, other);
  std::erase_if(image.repo_digests, other);
  return !image.repo_tags.empty() || !image.repo_digests.empty();
}

}  // namespace

bool CreatedWindow::holds(Time created) const {
  if (after.ns != 0 && created <= after) return false;
  return before.ns == 0 || created < before;
}

Result<CreatedWindow> window_of(const Filters& filters, Time at, const FindImage& find) {
  CreatedWindow w;
  const auto ends_before = [&](Time moment) {
    if (w.before.ns == 0 || moment < w.before) w.before = moment;
  };
  for (const auto& [key, values] : filters) {
    for (const auto& value : values) {
      if (key == "before") {
        TRY(const auto image, find(value));
        ends_before(image.created);
      } else if (key == "since") {
        TRY(const auto image, find(value));
        w.after = std::max(w.after, image.created);
      } else if (key == "until") {
        TRY(const auto moment, parse_until(value, at));
        ends_before(moment);
      }
    }
  }
  return w;
}

bool take_listed(storage::Image& image, const Filters& filters) {
  for (const auto& [key, values] : filters) {
    if (values.empty()) continue;
    const auto labelled = [&](const auto& w) { return has_label(image.config.labels, w); };
    bool ok = true;
    if (key == "label") ok = std::ranges::all_of(values, labelled);
    if (!ok) return false;
  }
  const auto reference = filters.find("reference");
  return reference == filters.end() || reference->second.empty() ||
         keep_references(image, reference->second);
}

bool reference_matches(const std::string& pattern, const std::string& name) {
  if (::fnmatch(pattern.c_str(), name.c_str(), FNM_PATHNAME) == 0) return true;
  const auto at = name.find('@');
  std::string plain = name.substr(0, at);
  const auto slash = plain.rfind('/');
  const auto colon = plain.rfind(':');
  if (colon != std::string::npos && (slash == std::string::npos || colon > slash))
    plain = plain.substr(0, colon);
  return ::fnmatch(pattern.c_str(), plain.c_str(), FNM_PATHNAME) == 0;
}

std::vector<std::string> tags_of_repository(const std::vector<storage::Image>& images,
                                            const std::string& name) {
  const auto repository = storage::parse_reference(name, false);
  if (!repository || !repository->tag.empty() || !repository->digest.empty()) return {};
  const auto start = repository->familiar_name() + ":";
  std::vector<std::string> out;
  for (const auto& image : images) {
    for (const auto& tag : image.repo_tags) {
      // "localhost" is no part of "localhost:5000/x:1".
      if (tag.starts_with(start) && tag.find('/', start.size()) == std::string::npos)
        out.push_back(tag);
    }
  }
  return out;
}

std::vector<std::string> pruned_names(const storage::Image& image, bool used) {
  if (!used) return {image.id};
  auto out = image.repo_tags;
  const auto in_full = [](const std::string& name) {
    const auto reference = storage::parse_reference(name, true);
    return reference ? storage::canonical(*reference) : name;
  };
  std::ranges::sort(out, {}, in_full);
  if (!out.empty()) out.pop_back();
  return out;
}

}  // namespace coracle
