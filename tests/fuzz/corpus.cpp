#include "tests/fuzz/corpus.hpp"

#include <algorithm>

#include "tests/fuzz/coverage.hpp"

namespace coracle::fuzz {

Corpus::Corpus() : owners_(coverage::kFeatures), edge_seen_(coverage::kEdges) {}

bool Corpus::offer(const std::string& input, std::span<const std::uint32_t> features) {
  const auto size = static_cast<std::uint32_t>(input.size() + 1);
  std::size_t fresh = 0;
  std::size_t shorter = 0;
  for (const auto f : features) {
    fresh += owners_[f].size == 0 ? 1 : 0;
    shorter += owners_[f].size > size ? 1 : 0;
  }
  // A few bytes less for one step that others reach as well are not worth the exchange.
  if (fresh == 0 && shorter < 3) return false;
  const auto number = static_cast<std::uint32_t>(entries_.size());
  entries_.push_back({input, 0});
  alive_.push_back(number);
  for (const auto f : features) {
    auto& owner = owners_[f];
    if (owner.size != 0 && owner.size <= size) continue;
    if (owner.size == 0) {
      ++reached_;
      if (!edge_seen_[f / 8]) ++edges_;
      edge_seen_[f / 8] = true;
    } else if (--entries_[owner.entry].owned == 0) {
      drop(owner.entry);
    }
    owner = {number, size};
    ++entries_[number].owned;
  }
  return fresh > 0;
}

void Corpus::drop(std::uint32_t entry) {
  std::string().swap(entries_[entry].input);
  alive_.erase(std::ranges::lower_bound(alive_, entry));
}

const std::string& Corpus::pick(Random& random) const {
  static const std::string kNone;
  if (alive_.empty()) return kNone;
  const auto n = alive_.size();
  // Half of the time from the newest eighth.
  const auto from = random.one_in(2) ? n - (n + 7) / 8 : 0;
  return entries_[alive_[from + random.below(n - from)]].input;
}

std::vector<std::string> Corpus::all() const {
  std::vector<std::string> out;
  for (const auto i : alive_) out.push_back(entries_[i].input);
  return out;
}

}  // namespace coracle::fuzz
