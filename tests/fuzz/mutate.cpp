#include "tests/fuzz/mutate.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

namespace coracle::fuzz {
namespace {

constexpr std::array<std::int64_t, 22> kNumbers{0,
                                                1,
                                                -1,
                                                2,
                                                16,
                                                31,
                                                32,
                                                63,
                                                64,
                                                127,
                                                128,
                                                255,
                                                256,
                                                32767,
                                                65535,
                                                65536,
                                                2147483647,
                                                -2147483648LL,
                                                1U << 31,
                                                4294967295LL,
                                                4294967296LL,
                                                INT64_MAX};

std::string word(const Material& m, Random& random) {
  if (!m.comparisons.empty() && random.one_in(3)) {
    const auto& pair = m.comparisons[random.below(m.comparisons.size())];
    return random.one_in(2) ? pair.first : pair.second;
  }
  if (!m.dictionary.empty()) return m.dictionary[random.below(m.dictionary.size())];
  return {};
}

void put(std::string& s, std::size_t at, const std::string& text, bool over) {
  if (over) {
    s.replace(at, std::min(text.size(), s.size() - at), text);
  } else {
    s.insert(at, text);
  }
}

void change_byte(std::string& s, Random& random) {
  auto& c = s[random.below(s.size())];
  switch (random.below(4)) {
    case 0: c = static_cast<char>(c ^ (1 << random.below(8))); break;
    case 1: c = static_cast<char>(random.next()); break;
    case 2: c = static_cast<char>(c + static_cast<char>(random.below(35)) - 17); break;
    default: c = static_cast<char>(~c); break;
  }
}

// A number in bytes, of one to eight of them, either end first.
void binary_number(std::string& s, Random& random) {
  const std::size_t width = std::size_t{1} << random.below(4);
  if (s.size() < width) return;
  const auto at = random.below(s.size() - width + 1);
  auto value = static_cast<std::uint64_t>(kNumbers[random.below(kNumbers.size())]);
  if (random.one_in(2)) value += random.below(9) - 4;
  std::string bytes(width, '\0');
  for (std::size_t i = 0; i < width; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  if (random.one_in(2)) std::ranges::reverse(bytes);
  s.replace(at, width, bytes);
}

// A number in digits becomes another one.
void text_number(std::string& s, Random& random) {
  auto at = s.find_first_of("0123456789", random.below(s.size()));
  if (at == std::string::npos) at = s.find_first_of("0123456789");
  if (at == std::string::npos) return;
  const auto end = std::min(s.find_first_not_of("0123456789", at), s.size());
  std::string number;
  switch (random.below(4)) {
    case 0: number = std::to_string(kNumbers[random.below(kNumbers.size())]); break;
    case 1:
      number = std::string(1 + random.below(24), static_cast<char>('0' + random.below(10)));
      break;
    case 2: number = std::to_string(random.next() >> random.below(64)); break;
    default: number = s.substr(at, end - at) + std::to_string(random.below(1000)); break;
  }
  s.replace(at, end - at, number);
}

void block(std::string& s, const Material& m, Random& random) {
  const auto at = random.below(s.size());
  const auto n = 1 + random.below(std::min<std::size_t>(s.size() - at, 1U << random.below(12)));
  const auto to = random.below(s.size() + 1);
  switch (random.below(5)) {
    case 0: s.erase(at, n); break;
    case 1: s.insert(to, s.substr(at, n)); break;
    case 2: put(s, std::min(to, s.size() - 1), s.substr(at, n), true); break;
    case 3: s.resize(at); break;
    default: {  // the same again and again
      const std::string one = s.substr(at, n);
      std::string many;
      const auto times = 1 + random.below(1U << random.below(9));
      for (std::size_t i = 0; i < times && many.size() < m.largest; ++i) many += one;
      s.insert(at, many);
    }
  }
}

void splice(std::string& s, const Material& m, Random& random) {
  if (m.other.empty()) return;
  const auto from = random.below(m.other.size());
  const auto n = 1 + random.below(m.other.size() - from);
  const auto at = random.below(s.size() + 1);
  if (random.one_in(3)) {
    s = s.substr(0, at) + m.other.substr(from);
  } else {
    put(s, at, m.other.substr(from, n), random.one_in(2) && at < s.size());
  }
}

// What was compared with what: put the one where the other stands.
void compared(std::string& s, const Material& m, Random& random) {
  if (m.comparisons.empty()) return;
  for (int tries = 0; tries < 8; ++tries) {
    auto [a, b] = m.comparisons[random.below(m.comparisons.size())];
    if (random.one_in(2)) std::swap(a, b);
    if (a.empty()) continue;
    auto at = s.find(a, random.below(s.size()));
    if (at == std::string::npos) at = s.find(a);
    if (at == std::string::npos) continue;
    s.replace(at, a.size(), b);
    return;
  }
}

void one_change(std::string& s, const Material& m, Random& random) {
  if (s.empty()) {
    s = word(m, random);
    if (s.empty()) s = static_cast<char>(random.next());
    return;
  }
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2: change_byte(s, random); break;
    case 3: s.insert(random.below(s.size() + 1), 1, static_cast<char>(random.next())); break;
    case 4: binary_number(s, random); break;
    case 5: text_number(s, random); break;
    case 6: block(s, m, random); break;
    case 7: splice(s, m, random); break;
    case 8: compared(s, m, random); break;
    case 9: s.erase(random.below(s.size()), 1 + random.below(4)); break;
    default: put(s, random.below(s.size()), word(m, random), random.one_in(2)); break;
  }
}

}  // namespace

void mutate(std::string& input, const Material& material, Random& random) {
  const auto changes = 1 + random.below(random.one_in(4) ? 8 : 3);
  for (std::size_t i = 0; i < changes; ++i) {
    one_change(input, material, random);
    if (input.size() > material.largest) input.resize(material.largest);
  }
}

}  // namespace coracle::fuzz
