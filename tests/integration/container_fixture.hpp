// A container for tests of the runtime: a directory with busybox as its root, a specification like
// the one Docker would write, its output collected.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/base/fd.hpp"
#include "engine/runtime/join.hpp"
#include "engine/runtime/launch.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::test {

struct Outcome {
  std::string output;  // stdout and stderr
  int code = -1;
  std::string error;  // of launch, start or join
  Errc errc = Errc::internal;
};

class ContainerTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // `sh -c script`.
  Outcome run(const std::string& script);
  // The specification as it stands.
  Outcome run();
  // A container that sleeps until the test ends; then a process in it.
  void start_sleeper();
  void start_sleeper_with_args();  // those of spec_
  Outcome exec(const oci::Process& process);
  Outcome exec(const std::string& script);
  // A file of the image.
  void add_file(const std::string& path, const std::string& text, unsigned mode = 0644);
  // The root becomes an overlay with a writable layer.
  void use_overlay(const std::string& type);

  std::string dir_;  // scratch
  oci::Spec spec_;
  runtime::RootMount root_;
  std::string init_program_;
  std::vector<runtime::Launched> running_;
};

// Docker's default capabilities.
std::vector<std::string> default_capabilities();

}  // namespace coracle::test
