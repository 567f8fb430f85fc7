// All containers, by id and by name. A name is taken before its container exists, and freed after.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/container/container.hpp"

namespace coracle {

// errors  invalid_argument with Docker's text
Result<> check_container_name(const std::string& name);

class ContainerTable {
 public:
  using ById = std::map<std::string, ContainerPtr>;
  // Full id, name with or without "/", "NAME/ALIAS" of a legacy link, unique prefix of an id.
  //   errors  not_found "No such container: X"; invalid_argument: several have that prefix
  [[nodiscard]] Result<ContainerPtr> find(const std::string& ref) const;
  [[nodiscard]] const ById& all() const { return by_id_; }

  // errors  conflict with Docker's text
  Result<> take_name(const std::string& name, const std::string& id);
  void free_name(const std::string& name, const std::string& id);
  // A name that is free, taken.
  std::string take_random_name(const std::string& id);

  void add(ContainerPtr container);
  void remove(const Container& container);  // with its name
  // Legacy links to a container: "web/db", by the names of those that have them and their aliases.
  [[nodiscard]] std::vector<std::string> links_to(const std::string& id) const;
  // The container's own links have changed.
  void note_links(const Container& container);

 private:
  [[nodiscard]] ById::const_iterator by_name(const std::string& name) const;
  [[nodiscard]] ById::const_iterator by_alias(const Container& parent,
                                              const std::string& alias) const;

  ById by_id_;
  std::map<std::string, std::string> names_;  // name -> id
  // id -> who links to it: id and alias
  std::map<std::string, std::set<std::pair<std::string, std::string>>> links_;
};

}  // namespace coracle
