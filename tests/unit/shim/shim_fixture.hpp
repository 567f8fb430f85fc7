// All routes of the shim, with an engine of fakes behind them.
#pragma once

#include "shim/api/api.hpp"
#include "tests/unit/shim/fake/engine.hpp"
#include "tests/unit/shim/http_client.hpp"

namespace coracle::test {

class ShimTest : public ServerTest {
 protected:
  void TearDown() override {
    ServerTest::TearDown();
    EXPECT_EQ(engine_.happenings.streams_open, 0);
  }
  void add_routes(http::Router& router) override { api::add_all_routes(router, api_); }

  FakeEngine& engine() { return engine_; }

 private:
  FakeEngine engine_{io, workers};
  api::Api api_{io, engine_};
};

}  // namespace coracle::test
