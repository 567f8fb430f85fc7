#include "engine/bundle/cdi_files.hpp"

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"
#include "engine/bundle/yaml.hpp"

namespace coracle::cdi {
namespace {

constexpr std::size_t kFileLimit = std::size_t{4} << 20;

Result<Spec> read_spec(const std::string& path) {
  TRY(const auto text, read_file(path, kFileLimit));
  json::Value value;
  if (path.ends_with(".json")) {
    TRY(value, json::parse(text));
  } else {
    TRY(value, parse_yaml(text));
  }
  TRY(auto spec, json::from_json<Spec>(value));
  if (spec.kind.empty() || spec.version.empty())
    return fail(Errc::invalid_argument, "cdiVersion or kind is missing");
  return spec;
}

}  // namespace

std::vector<Spec> read_specs(const std::vector<std::string>& directories) {
  std::vector<Spec> out;
  for (const auto& directory : directories) {
    const auto names = list_dir(directory);
    if (!names) continue;
    for (const auto& name : *names) {
      if (!name.ends_with(".json") && !name.ends_with(".yaml") && !name.ends_with(".yml")) continue;
      const auto path = directory + "/" + name;
      auto spec = read_spec(path);
      if (spec) {
        out.push_back(*std::move(spec));
      } else {
        log::warn("CDI specification passed over path={} reason={}", path, spec.error().message);
      }
    }
  }
  return out;
}

}  // namespace coracle::cdi
