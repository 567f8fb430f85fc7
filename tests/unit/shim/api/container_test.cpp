#include "tests/unit/shim/shim_fixture.hpp"

namespace coracle::test {
namespace {

class Containers : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    ContainerView web;
    web.id = std::string(64, 'a');
    web.name = "web";
    web.status = Status::running;
    web.started_at = web.created = Time{1};
    web.config.image = "busybox";
    web.image_id = "sha256:1";
    engine().containers().all["web"] = web;
    engine().images().all["busybox"].id = "sha256:1";
  }
};

TEST_F(Containers, CreateAnswersIdAndWarnings) {
  const auto made =
      ask("POST", "/v1.41/containers/create?name=n&platform=linux/amd64",
          R"({"Image":"busybox","Cmd":"sh","Unknown":1,"HostConfig":{"Binds":null}})");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(made.json().at("Id").as_string(), std::string(64, 'c'));
  EXPECT_EQ(made.json().at("Warnings").at(0).as_string(), "a warning");
  EXPECT_EQ(engine().containers().created.name, "n");
  EXPECT_EQ(engine().containers().created.platform, "linux/amd64");
  EXPECT_EQ(engine().containers().created.config.cmd->items, std::vector<std::string>{"sh"});
}

TEST_F(Containers, CreateOfAMissingImageIs404SoThatClientsPull) {
  const auto answer = ask("POST", "/containers/create", R"({"Image":"missing"})");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.message(), "No such image: missing");
}

TEST_F(Containers, ListShowsTheImageByNameUntilTheNameMovesAway) {
  EXPECT_EQ(ask("GET", "/containers/json").json().at(0).at("Image").as_string(), "busybox");
  engine().images().all["busybox"].id = "sha256:2";
  EXPECT_EQ(ask("GET", "/containers/json").json().at(0).at("Image").as_string(), "sha256:1");
  engine().containers().all.clear();
  EXPECT_EQ(ask("GET", "/containers/json").body, "[]\n");
}

TEST_F(Containers, LifeHasDockersStatuses) {
  EXPECT_EQ(ask("POST", "/containers/web/start").status, 204);
  EXPECT_EQ(ask("POST", "/containers/web/start", "{}").status, 204);
  engine().containers().start_error = Error{Errc::unchanged, 0, "runs"};
  const auto unchanged = ask("POST", "/containers/web/start");
  EXPECT_EQ(unchanged.status, 304);
  EXPECT_FALSE(unchanged.headers.contains("content-length"));
  engine().containers().start_error = Error{Errc::internal, 0, "port is already allocated"};
  EXPECT_EQ(ask("POST", "/containers/web/start").status, 500);

  EXPECT_EQ(ask("POST", "/v1.42/containers/web/stop?t=5&signal=INT").status, 204);
  EXPECT_EQ(engine().containers().last, "stop web 5 INT");
  ask("POST", "/v1.41/containers/web/stop?signal=INT");
  EXPECT_EQ(engine().containers().last, "stop web -99 ");  // known from 1.42 on
  ask("POST", "/containers/web/restart?t=-1");
  EXPECT_EQ(engine().containers().last, "restart web -1");
  ask("POST", "/containers/web/kill?signal=SIGHUP");
  EXPECT_EQ(engine().containers().last, "kill web SIGHUP");
  ask("POST", "/containers/web/rename?name=new");
  EXPECT_EQ(engine().containers().last, "rename web new");
  EXPECT_EQ(ask("POST", "/containers/web/resize?h=24&w=80").status, 200);
  EXPECT_EQ(engine().streams().last, "resize web 24 80");
  EXPECT_EQ(ask("DELETE", "/containers/web?force=1&v=true").status, 204);
  EXPECT_EQ(engine().containers().last, "remove web true true");
}

TEST_F(Containers, InspectOfAnUnknownOneIs404) {
  const auto answer = ask("GET", "/containers/nobody/json");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.message(), "No such container: nobody");
}

TEST_F(Containers, ExecIsMadeStartedAndInspected) {
  const auto made = ask("POST", "/containers/web/exec", R"({"Cmd":["ls","-l"],"Tty":false})");
  EXPECT_EQ(made.status, 201);
  EXPECT_EQ(made.json().at("Id").as_string(), "exec-ls");
  EXPECT_EQ(ask("POST", "/exec/exec-ls/start", R"({"Detach":true})").status, 200);
  EXPECT_EQ(engine().execs().last, "exec exec-ls");
  EXPECT_EQ(ask("POST", "/exec/other/start", R"({"Detach":true})").status, 404);
  const auto view = ask("GET", "/exec/exec-ls/json").json();
  EXPECT_TRUE(view.at("ExitCode").is_null());
  EXPECT_EQ(view.at("ProcessConfig").at("entrypoint").as_string(), "ls");
  EXPECT_EQ(view.at("ProcessConfig").at("arguments").at(0).as_string(), "-l");
}

}  // namespace
}  // namespace coracle::test
