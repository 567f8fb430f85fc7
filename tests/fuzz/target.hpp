// A fuzz target: a parser, and what helps to reach its depths. The driver (main.cpp) gives it one
// input after the other in one process; it must leave nothing behind.
//
// What counts as a finding: what the sanitizers or the library's assertions report, an exception
// that leaves the parser, a promise that is broken (MUST), more time or memory than guard.hpp
// allows.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/random.hpp"

namespace coracle::fuzz {

struct Target {
  std::string name;
  std::function<void(std::string_view)> run;
  std::vector<std::string> dictionary = {};  // words that the parser knows
  // Changes an input as its format allows (checksums and lengths right), beside the changes of
  // bytes that every target gets; empty: there is none.
  std::function<void(std::string&, Random&)> mutate = {};
  // Puts right what a change of bytes has broken (checksums); empty: nothing.
  std::function<void(std::string&)> mend = {};
  std::size_t largest = 4096;  // bytes of an input
  std::size_t inputs = 0;      // of a run in tests/run: what takes about five seconds
};

// Each file of targets gives its own.
std::vector<Target> base_targets();
std::vector<Target> archive_targets();
std::vector<Target> load_targets();
std::vector<Target> image_targets();
std::vector<Target> netstack_targets();
std::vector<Target> engine_targets();
std::vector<Target> log_targets();
std::vector<Target> message_targets();
std::vector<Target> http_targets();
std::vector<Target> request_targets();

// Changes of a JSON text that is whole: values replaced, doubled, moved, keys renamed to words of
// the dictionary. What is no JSON stays as it is.
std::function<void(std::string&, Random&)> json_mutator(std::vector<std::string> dictionary);

// A promise of the parser: says what was broken, and ends the program as a finding.
inline void must(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "fuzz: a promise is broken: %s\n", promise);
  std::abort();
}
#define MUST(...) ::coracle::fuzz::must((__VA_ARGS__), #__VA_ARGS__)

}  // namespace coracle::fuzz
