#include "shim/wire/json_fault.hpp"

#include <gtest/gtest.h>

namespace coracle::wire {
namespace {

// What go1.24's json.NewDecoder(…).Decode says of each.
TEST(JsonFault, HasGosWords) {
  constexpr struct {
    std::string_view text;
    const char* fault;
  } kCases[] = {
      {"", "EOF"},
      {" \t\r\n", "EOF"},
      {"{", "unexpected EOF"},
      {"[1,", "unexpected EOF"},
      {"\"abc", "unexpected EOF"},
      {"\"abc\\", "unexpected EOF"},
      {"\"\\u12", "unexpected EOF"},
      {"-", "unexpected EOF"},
      {"1.", "unexpected EOF"},
      {"1e", "unexpected EOF"},
      {"tru", "unexpected EOF"},
      {"{invalid json", "invalid character 'i' looking for beginning of object key string"},
      {"{\"a\":1,}", "invalid character '}' looking for beginning of object key string"},
      {"nothing", "invalid character 'o' in literal null (expecting 'u')"},
      {"truth", "invalid character 't' in literal true (expecting 'e')"},
      {"[fall]", "invalid character 'l' in literal false (expecting 's')"},
      {"Image=b", "invalid character 'I' looking for beginning of value"},
      {"[1,]", "invalid character ']' looking for beginning of value"},
      {"'a'", "invalid character '\\'' looking for beginning of value"},
      {"\\", "invalid character '\\\\' looking for beginning of value"},
      {"{\"a\" 1}", "invalid character '1' after object key"},
      {"{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair"},
      {"[1 2]", "invalid character '2' after array element"},
      {"[1}", "invalid character '}' after array element"},
      {"\"a\nb\"", "invalid character '\\n' in string literal"},
      {"\"\\x\"", "invalid character 'x' in string escape code"},
      {"\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"},
      {"-a", "invalid character 'a' in numeric literal"},
      {"1.x", "invalid character 'x' after decimal point in numeric literal"},
      {"1e+x", "invalid character 'x' in exponent of numeric literal"},
      {"[01]", "invalid character '1' after array element"},
      {"\xC3\xA9", "invalid character '\xC3\x83' looking for beginning of value"},
      {"\x7F", "invalid character '\\x7f' looking for beginning of value"},
      {"\x85", "invalid character '\\u0085' looking for beginning of value"},
      {std::string_view("\0", 1), "invalid character '\\x00' looking for beginning of value"},
  };
  for (const auto& c : kCases) EXPECT_EQ(json_fault(c.text), c.fault) << c.text;
}

TEST(JsonFault, FindsNoneInTheFirstValueWhateverFollows) {
  for (const char* text :
       {"{}", "[]", "[[],{\"a\":[{}]}]", "null x", "{} trailing", "12x", "-0.5e-3",
        "\"\\\"\\u00e9\\n\"", "{\"a\":{\"b\":[1,2]}}}", "[true,false,null]]"})
    EXPECT_EQ(json_fault(text), "") << text;
}

TEST(JsonFault, DepthIsBoundedAsInGo) {
  EXPECT_EQ(json_fault(std::string(10'000, '[')), "unexpected EOF");
  EXPECT_EQ(json_fault(std::string(10'001, '[')), "exceeded max depth");
  EXPECT_EQ(json_fault(std::string(std::size_t{16} << 20, '[')), "exceeded max depth");
}

}  // namespace
}  // namespace coracle::wire
