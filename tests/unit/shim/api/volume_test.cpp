#include "shim/api/api.hpp"
#include "tests/unit/shim/fake/volumes.hpp"
#include "tests/unit/shim/http_client.hpp"

namespace coracle::test {
namespace {

class VolumeRoutes : public ServerTest {
 protected:
  void add_routes(http::Router& router) override { api::add_volume_routes(router, volumes); }
  FakeVolumes volumes;
};

TEST_F(VolumeRoutes, MakeShowAndRemoveVolumes) {
  const auto made = ask("POST", "/volumes/create", R"({"Name":"data","Driver":"local"})");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(made.json().at("Name").as_string(), "data");
  EXPECT_EQ(made.json().at("Scope").as_string(), "local");
  EXPECT_EQ(ask("GET", "/volumes").body, "{\"Volumes\":[],\"Warnings\":null}\n");
  EXPECT_EQ(ask("GET", "/volumes/x").status, 404);
  EXPECT_EQ(ask("DELETE", "/volumes/x?force=1").status, 204);
  EXPECT_EQ(volumes.last, "rm x true");
}

TEST_F(VolumeRoutes, KeysOfTheBodyMatchInAnyCase) {
  const auto made = ask("POST", "/volumes/create", R"({"name":"data","LABELS":{"A":"b"}})");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(made.json().at("Name").as_string(), "data");
  EXPECT_EQ(ask("POST", "/volumes/create", R"({"clustervolumespec":{}})").status, 503);
}

}  // namespace
}  // namespace coracle::test
