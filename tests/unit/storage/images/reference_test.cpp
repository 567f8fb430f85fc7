#include "storage/images/reference.hpp"

#include <gtest/gtest.h>

namespace coracle::storage {
namespace {

const std::string kSomeDigest = "sha256:" + std::string(64, 'a');

std::string canonical_of(const std::string& text) {
  const auto r = parse_reference(text, true);
  return r ? canonical(*r) : r.error().message;
}

TEST(Reference, TakesNamesApartAsDockerDoes) {
  EXPECT_EQ("docker.io/library/alpine:latest", canonical_of("alpine"));
  EXPECT_EQ("docker.io/library/alpine:3", canonical_of("docker.io/alpine:3"));
  EXPECT_EQ("docker.io/library/alpine:3", canonical_of("index.docker.io/library/alpine:3"));
  EXPECT_EQ("docker.io/me/x:latest", canonical_of("me/x"));
  EXPECT_EQ("localhost/x:latest", canonical_of("localhost/x"));
  EXPECT_EQ("127.0.0.1:5000/x:1", canonical_of("127.0.0.1:5000/x:1"));
  EXPECT_EQ("[::1]:5000/x:latest", canonical_of("[::1]:5000/x"));
  EXPECT_EQ("UPPER/x:latest", canonical_of("UPPER/x"));
  EXPECT_EQ("docker.io/library/a__b-c.d---e:_T.-", canonical_of("a__b-c.d---e:_T.-"));
  EXPECT_EQ("docker.io/library/x@" + kSomeDigest, canonical_of("x@" + kSomeDigest));
}

TEST(Reference, ShowsTheFamiliarForm) {
  for (const std::string name : {"alpine:3", "me/x:1", "127.0.0.1:5000/x:1", "library/a/b:1"})
    EXPECT_EQ(name, parse_reference(name, true)->familiar());
  EXPECT_EQ("alpine:3", parse_reference("docker.io/library/alpine:3", true)->familiar());
  EXPECT_EQ("x@" + kSomeDigest, parse_reference("x@" + kSomeDigest, true)->familiar());
  EXPECT_EQ("alpine", parse_reference("alpine", false)->familiar());
}

TEST(Reference, RefusesWithDockersReasons) {
  for (const std::string bad :
       {"", ":", "x:", "-x", "x/", "/x", "x//y", "a___b", "a..b", "x:.t", "x@sha256:12", "x y",
        "a-", "x:a:b", "docker.io/", "ho_st.x/y", "h:p/x", "[zz]/x"})
    EXPECT_EQ("invalid reference format", canonical_of(bad)) << bad;
  EXPECT_EQ("invalid reference format: repository name (library/FOO) must be lowercase",
            canonical_of("FOO"));
  EXPECT_EQ("invalid reference format", canonical_of("x:" + std::string(129, 't')));
  EXPECT_EQ("invalid reference format: repository name must not be more than 255 characters",
            canonical_of("me/" + std::string(256, 'x')));
  EXPECT_EQ("invalid repository name (" + std::string(64, 'a') +
                "), cannot specify 64-byte hexadecimal strings",
            canonical_of(std::string(64, 'a')));
}

TEST(Reference, NoTagReadsAsAnId) {
  const auto error_of = [](const char* repository, const char* tag) {
    const auto made = parse_tag(repository, tag);
    return made ? canonical(*made) : made.error().message;
  };
  const std::string ambiguous =
      "refusing to create an ambiguous tag using digest algorithm as name";
  EXPECT_EQ(error_of("sha256", "x"), ambiguous);
  EXPECT_EQ(error_of("sha256:x", ""), ambiguous);
  EXPECT_EQ(error_of("sha256", ""), ambiguous);
  EXPECT_EQ(error_of("docker.io/library/sha256", "x"), ambiguous);
  EXPECT_EQ(error_of("me/sha256", "x"), "docker.io/me/sha256:x");
  EXPECT_EQ(error_of("sha512", "x"), "docker.io/library/sha512:x");
  EXPECT_EQ(error_of("x", ""), "docker.io/library/x:latest");
  EXPECT_EQ(error_of(("x@" + kSomeDigest).c_str(), ""), "cannot import digest reference");
}

}  // namespace
}  // namespace coracle::storage
