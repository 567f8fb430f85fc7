// The names of a struct's fields, found whatever the case of a key: engine/base/json reads with them
// what clients send.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace coracle::json {

class FieldNames {
 public:
  void add(std::string_view name);
  // The place of the field in describe(). A byte beyond ASCII has no other case.
  [[nodiscard]] std::optional<std::size_t> find(std::string_view key) const;
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>> places_;  // in lower case
  std::size_t count_ = 0, longest_ = 0;
};

struct NameCollector {
  FieldNames names;
  template <class T>
  NameCollector& operator()(std::string_view name, const T& /*member*/) {
    names.add(name);
    return *this;
  }
};

// Those of T, collected once a program.
template <class T>
const FieldNames& field_names() {
  static const FieldNames kNames = [] {
    T sample{};
    NameCollector collector;
    describe(collector, sample);
    return collector.names;
  }();
  return kNames;
}

}  // namespace coracle::json
