#include "storage/images/platform.hpp"

#include <gtest/gtest.h>

namespace coracle::storage {
namespace {

std::string parsed(const std::string& text) {
  const auto p = parse_platform(text);
  return p ? platform_text(*p) : p.error().message;
}

TEST(Platform, IsParsedInContainerdsWords) {
  for (const auto& [text, wanted] : std::vector<std::pair<const char*, const char*>>{
           {"", ""},
           {"linux", "linux"},
           {"arm64", "linux/arm64"},
           {"aarch64", "linux/arm64"},
           {"x86_64", "linux/amd64"},
           {"armel", "linux/arm/v6"},
           {"Linux/AMD64", "linux/amd64"},
           {"linux/arm/V7", "linux/arm/v7"},
           {"macos/arm64", "darwin/arm64"},
           {"windows(10.0.17763)/amd64", "windows/amd64"},
           {"odd/unknown", "odd/unknown"},
       })
    EXPECT_EQ(parsed(text), wanted) << text;
}

TEST(Platform, WhatIsNoneIsRefused) {
  EXPECT_EQ(parsed("foobar"),
            "\"foobar\": unknown operating system or architecture: invalid argument");
  for (const char* text : {"/", "linux/", "/amd64", "a/b/c/d", "linux/*", "li.nux/amd64",
                           "linux/a b", "linux(/amd64", "linux//v8", "linux/arm/v7/"}) {
    const auto p = parse_platform(text);
    ASSERT_FALSE(p) << text;
    EXPECT_EQ(p.error().code, Errc::invalid_argument) << text;
  }
}

TEST(Platform, AnImageServesWhatItCanRunOn) {
  EXPECT_TRUE(serves({"linux", "amd64", ""}, {"linux", "x86_64", ""}));
  EXPECT_TRUE(serves({"linux", "arm64", ""}, {"linux", "arm64", "v8"}));
  EXPECT_TRUE(serves({"linux", "arm", "v6"}, {"linux", "arm", "v7"}));
  EXPECT_FALSE(serves({"linux", "arm", "v7"}, {"linux", "arm", "v6"}));
  EXPECT_TRUE(serves({"linux", "arm", ""}, {"linux", "arm", "v6"}));
  EXPECT_FALSE(serves({"linux", "amd64", ""}, {"linux", "arm64", ""}));
  EXPECT_FALSE(serves({"linux", "amd64", ""}, {"windows", "amd64", ""}));
  EXPECT_TRUE(is_same({"linux", "arm64", "v8"}, {"linux", "arm64", ""}));
  EXPECT_FALSE(is_same({"linux", "arm", "v6"}, {"linux", "arm", "v7"}));
}

TEST(Platform, AnImageOfAnotherOneIsNotFound) {
  Image image;
  image.os = "linux";
  image.architecture = "arm64";
  image.variant = "v8";
  EXPECT_TRUE(check_platform(image, "x", {"linux", "arm64", ""}));
  const auto no = check_platform(image, "docker.io/library/x:1", {"linux", "s390x", ""});
  ASSERT_FALSE(no);
  EXPECT_EQ(no.error().code, Errc::not_found);
  EXPECT_EQ(no.error().message,
            "image with reference x:1 was found but its platform (linux/arm64/v8) does not match "
            "the specified platform (linux/s390x)");
}

}  // namespace
}  // namespace coracle::storage
