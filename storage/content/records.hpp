// A folder with a directory for each object and a JSON record in each: containers/ID/layer.json,
// volumes/NAME/volume.json. An object gets its name when it is whole; until then it is called
// ".new-…".
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/base/path.hpp"
#include "storage/content/damaged.hpp"
#include "storage/content/trash.hpp"

namespace coracle::storage {

inline constexpr std::string_view kUnfinished = ".new-";

template <class Record>
Result<Record> read_record(const std::string& path) {
  TRY(const auto text, read_file(path));
  return json::from_text<Record>(text);
}

// Reads `file` of every object in `folder`, which is made if need be; what was never finished goes
// into the trash. Blocking, once. Returns what was left out: records that cannot be read, and those
// that `take` refuses.
template <class Record>
Result<std::vector<Damaged>> load_records(
    const std::string& folder, const std::string& file, Trash& trash,
    const std::function<Result<>(const std::string& name, Record record)>& take) {
  std::vector<Damaged> damaged;
  CHECK(make_dirs(folder));
  TRY(const auto names, list_dir(folder));
  for (const auto& name : names) {
    const std::string object = join_path(folder, name);
    if (name.starts_with(kUnfinished)) {
      CHECK(trash.take(object));
      continue;
    }
    const auto path = join_path(object, file);
    auto record = read_record<Record>(path);
    const auto taken = record ? take(name, *std::move(record)) : std::unexpected(record.error());
    if (!taken) damaged.push_back({path, taken.error().message});
  }
  return damaged;
}

}  // namespace coracle::storage
