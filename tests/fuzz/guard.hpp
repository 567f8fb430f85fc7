// Watches over the input that is being run: when the program is to end because of it (a sanitizer's
// report, an assertion, an exception, a broken promise), or it runs too long, the input is written
// to a file first and the line that repeats it is printed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace coracle::fuzz {

constexpr int kLongestRunS = 5;    // processor time of one input
constexpr int kLongestWaitS = 60;  // time of one input that does nothing but wait
constexpr std::size_t kLargestFile = std::size_t{256} << 20;
// Of memory: one allocation 256 MiB, all of it 2 GiB (the sanitizer's options in guard.cpp).

// Installs the handlers.
//   program, target  for the line that repeats a finding
//   folder           where findings are written to
void guard(const std::string& program, const std::string& target, const std::string& folder);

// The input that runs from now on; it must stay where it is until the next call. "": none.
void guard_input(std::string_view input);

// Ends the program as a finding when memory was lost since the start.
void check_leaks();

}  // namespace coracle::fuzz
