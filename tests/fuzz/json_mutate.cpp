// Changes of JSON that leave it JSON: what a parser of bytes would refuse at once reaches the
// readers behind it.
#include <cmath>

#include <boost/json.hpp>

#include "engine/base/json.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

namespace bj = boost::json;

// All values of a text, the outermost first.
void collect(bj::value& v, std::vector<bj::value*>& into) {
  into.push_back(&v);
  if (v.is_array())
    for (auto& e : v.get_array()) collect(e, into);
  if (v.is_object())
    for (auto& kv : v.get_object()) collect(kv.value(), into);
}

bj::value scalar(const std::vector<std::string>& words, Random& random) {
  static const bj::array kValues{nullptr,     true,        false,
                                 0,           1,           -1,
                                 255,         65535,       65536,
                                 2147483647,  2147483648U, 4294967295U,
                                 4294967296,  INT64_MAX,   INT64_MIN,
                                 UINT64_MAX,  1.5,         -0.0,
                                 1e300,       9.1e15,      "",
                                 "/",         "..",        "0",
                                 "-1",        "\xc3\xa9",  bj::string(300, 'a'),
                                 bj::array{}, bj::object{}};
  if (!words.empty() && random.one_in(2)) return bj::value(words[random.below(words.size())]);
  return kValues[random.below(kValues.size())];
}

// One change at `v`, a value somewhere in the text; `all` are the others.
void change(bj::value& v, const std::vector<bj::value*>& all, const std::vector<std::string>& words,
            Random& random) {
  switch (random.below(8)) {
    case 0:
    case 1: v = scalar(words, random); return;
    case 2: v = bj::value(*all[random.below(all.size())]); return;
    case 3: v = bj::array{v}; return;
    case 4:
      if (v.is_array() && !v.get_array().empty()) {
        auto& a = v.get_array();
        const bj::value one = a[random.below(a.size())];
        for (std::size_t i = 1 + random.below(random.one_in(8) ? 40 : 2); i > 0; --i)
          a.push_back(one);
      } else if (v.is_object() && !words.empty()) {
        v.get_object()[words[random.below(words.size())]] = scalar(words, random);
      }
      return;
    case 5:
      if (v.is_array() && !v.get_array().empty()) {
        v.get_array().erase(v.get_array().begin() +
                            static_cast<std::ptrdiff_t>(random.below(v.get_array().size())));
      } else if (v.is_object() && !v.get_object().empty()) {
        v.get_object().erase(v.get_object().begin() +
                             static_cast<std::ptrdiff_t>(random.below(v.get_object().size())));
      }
      return;
    case 6:
      if (v.is_object() && !v.get_object().empty() && !words.empty()) {
        auto& o = v.get_object();
        const bj::value moved =
            (o.begin() + static_cast<std::ptrdiff_t>(random.below(o.size())))->value();
        o[words[random.below(words.size())]] = moved;
      }
      return;
    default:
      if (v.is_string() && !words.empty()) {
        std::string s(v.get_string());
        s.insert(random.below(s.size() + 1), words[random.below(words.size())]);
        v = bj::string(s);
      } else if (v.is_int64()) {
        v = static_cast<std::int64_t>(random.next() >> random.below(64));
      }
  }
}

}  // namespace

std::function<void(std::string&, Random&)> json_mutator(std::vector<std::string> dictionary) {
  return [words = std::move(dictionary)](std::string& input, Random& random) {
    // What stands in front of the first brace (the choice that some targets take) stays.
    const auto at = std::min(input.find_first_of("{["), input.size());
    auto value = json::parse(std::string_view(input).substr(at));
    if (!value) return;
    for (std::size_t i = 1 + random.below(3); i > 0; --i) {
      std::vector<bj::value*> all;
      collect(*value, all);
      if (all.size() > 5000) break;
      bj::value* chosen = all[random.below(all.size())];
      change(*chosen, all, words, random);
    }
    input.resize(at);
    input += bj::serialize(*value);
  };
}

}  // namespace coracle::fuzz
