// A registry of one image, made by hand, for the tests of pulls.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "engine/base/ident.hpp"
#include "tests/integration/small_http.hpp"
#include "tests/integration/test_image.hpp"
#include "tests/unit/storage/in_user_namespace.hpp"

namespace coracle::test {

// A registry with one image under every name; tests change what it answers.
inline Response serve(const TestImage& image, const Request& r) {
  if (r.path == "/v2/") return {200, {}, "{}"};
  if (r.path.find("/manifests/") != std::string::npos)
    return {200,
            {"Content-Type: application/vnd.docker.distribution.manifest.v2+json"},
            image.manifest};
  if (r.path.ends_with(image.config_digest)) return {200, {}, image.config};
  for (const auto& l : image.layers) {
    if (!r.path.ends_with(l.digest)) continue;
    const std::string range = r.header("range");
    if (range.empty()) return {200, {}, l.blob};
    const auto from = std::stoul(range.substr(6));
    return {206,
            {"Content-Range: bytes " + std::to_string(from) + "-" +
             std::to_string(l.blob.size() - 1) + "/" + std::to_string(l.blob.size())},
            l.blob.substr(from)};
  }
  return {404, {}, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"};
}

// Text that does not compress.
inline std::string noise(std::size_t size) {
  std::string out;
  while (out.size() < size) out += random_id();
  return out;
}

class Pull : public testing::Test {
 protected:
  void SetUp() override { NEEDS_NAMESPACE(); }
  Scratch scratch;
};

}  // namespace coracle::test
