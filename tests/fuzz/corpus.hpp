// The inputs that are worth to be changed further: each reaches something that no other does, or
// reaches it with fewer bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/fuzz/random.hpp"

namespace coracle::fuzz {

class Corpus {
 public:
  Corpus();
  // Takes it in when it reaches something new, or something that only longer inputs reached; those
  // that are good for nothing more are forgotten.   true: something new was reached
  bool offer(const std::string& input, std::span<const std::uint32_t> features);

  // One of them: new ones more often. "" when there is none yet.
  const std::string& pick(Random& random) const;

  [[nodiscard]] std::size_t size() const { return alive_.size(); }
  [[nodiscard]] std::size_t features() const { return reached_; }
  [[nodiscard]] std::size_t edges() const { return edges_; }
  [[nodiscard]] std::vector<std::string> all() const;

 private:
  struct Entry {
    std::string input;
    std::uint32_t owned = 0;  // features for which it is the shortest
  };
  struct Owner {
    std::uint32_t entry = 0;
    std::uint32_t size = 0;  // of its input, plus one; 0: not reached
  };
  void drop(std::uint32_t entry);

  std::vector<Entry> entries_;
  std::vector<std::uint32_t> alive_;  // in their order
  std::vector<Owner> owners_;         // by feature
  std::vector<bool> edge_seen_;
  std::size_t reached_ = 0, edges_ = 0;
};

}  // namespace coracle::fuzz
