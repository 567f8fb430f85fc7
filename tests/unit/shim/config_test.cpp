#include "shim/config.hpp"

#include <unistd.h>

#include <cstdlib>

#include <gtest/gtest.h>

#include "engine/base/file.hpp"

namespace coracle::shim {
namespace {

class Config : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/config-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir = name;
    around.uid = ::getuid();
    around.env = {{"XDG_RUNTIME_DIR", dir + "/run"}, {"HOME", dir}};
  }
  void TearDown() override { EXPECT_TRUE(remove_tree(dir)); }
  void write_json(const std::string& text) {
    ASSERT_TRUE(make_dirs(dir + "/.config/coracle"));
    ASSERT_TRUE(write_file_atomic(dir + "/.config/coracle/daemon.json", text));
  }
  std::string error_of(const std::vector<std::string>& args) {
    const auto r = load_config(args, around);
    return r ? "no error" : r.error().message;
  }
  std::string dir;
  Surroundings around;
};

TEST_F(Config, HasDefaultsBelowTheXdgDirectories) {
  const auto r = load_config({}, around);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->config.hosts, std::vector<std::string>{dir + "/run/coracle/docker.sock"});
  EXPECT_EQ(r->config.exec_root, dir + "/run/coracle");
  EXPECT_EQ(r->config.data_root, dir + "/.local/share/coracle");
  EXPECT_TRUE(r->config.warnings.empty());
  around.env["XDG_DATA_HOME"] = "/d";
  EXPECT_EQ(load_config({}, around)->config.data_root, "/d/coracle");
}

TEST_F(Config, TakesDockerdsFlags) {
  const auto r = load_config({"-H", "unix:///a.sock", "--host=unix:///b.sock", "-D", "-s", "copy",
                              "--registry-mirror", "http://m:5000", "--insecure-registry=x:1",
                              "--data-root", "/d", "--exec-root=/e", "-p", "/p"},
                             around);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->config.hosts, (std::vector<std::string>{"/a.sock", "/b.sock"}));
  EXPECT_TRUE(r->config.debug);
  EXPECT_EQ(r->config.log_level, "debug");
  EXPECT_EQ(r->config.storage_driver, "copy");
  EXPECT_EQ(r->config.mirrors, std::vector<std::string>{"http://m:5000"});
  EXPECT_EQ(r->config.insecure_registries, std::vector<std::string>{"x:1"});
  EXPECT_EQ(r->config.pidfile, "/p");
  EXPECT_EQ(load_config({"-v"}, around)->what, Loaded::What::show_version);
  EXPECT_EQ(load_config({"--help"}, around)->what, Loaded::What::show_help);
}

TEST_F(Config, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(error_of({"--nonsense"}), "unknown flag: --nonsense (see --help)");
  EXPECT_EQ(error_of({"--data-root"}), "flag needs an argument: --data-root");
  EXPECT_NE(error_of({"-H", "tcp://0.0.0.0:2375"}).find("unix sockets only"), std::string::npos);
  EXPECT_NE(error_of({"-l", "loud"}).find("invalid logging level: loud"), std::string::npos);
  EXPECT_NE(error_of({"--debug=perhaps"}).find("true or false"), std::string::npos);
  EXPECT_NE(error_of({"--data-root", "relative"}).find("not an absolute path"), std::string::npos);
  EXPECT_NE(error_of({"argument"}).find("takes no arguments"), std::string::npos);
}

// What scripts and old settings give dockerd.
TEST_F(Config, KnowsDockerdsOtherDirectives) {
  const auto r =
      load_config({"--iptables=false", "--live-restore", "-G", "docker", "--mtu=1400"}, around);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->config.notes.size(), 3U) << "what is switched off is not told";
  EXPECT_EQ(r->config.notes.front().substr(0, 16), "--live-restore: ");
  EXPECT_EQ(error_of({"--bip"}), "flag needs an argument: --bip");
  EXPECT_NE(error_of({"--bip", "10.0.0.1/24"}).find("--bip: is not supported yet"),
            std::string::npos);
  EXPECT_NE(error_of({"--tlsverify"}).find("ssh://"), std::string::npos);
  write_json(
      R"({"tls":false,"bip":"","storage-opts":[],"userland-proxy":false,"features":{"buildkit":true}})");
  const auto file = load_config({}, around);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->config.notes.size(), 1U);
  write_json(R"({"userns-remap":"default"})");
  EXPECT_NE(error_of({}).find("userns-remap: is refused"), std::string::npos);
  EXPECT_EQ(load_config({"--validate", "--config-file", "/dev/null"}, around)->what,
            Loaded::What::validated);
}

TEST_F(Config, HasDefaultsForContainers) {
  write_json(
      R"({"default-shm-size":"1G","dns":["10.0.0.1"],"init":true,"default-ipc-mode":"shareable",
          "default-ulimits":{"nofile":{"Name":"nofile","Soft":10,"Hard":20}},"labels":["a=b"]})");
  const auto r = load_config({"--default-ulimit=nproc=5", "--config-file", dir + "/none"}, around);
  EXPECT_FALSE(r);
  const auto file = load_config({"--default-cgroupns-mode=host", "--no-new-privileges"}, around);
  ASSERT_TRUE(file) << file.error().message;
  const auto& d = file->config.defaults;
  EXPECT_EQ(d.shm_size, std::int64_t{1} << 30);
  EXPECT_EQ(d.ipc_mode + " " + d.cgroupns_mode, "shareable host");
  EXPECT_TRUE(d.init && d.no_new_privileges);
  ASSERT_EQ(d.ulimits.size(), 1U);
  EXPECT_EQ(d.ulimits[0].hard, 20);
  EXPECT_EQ(d.dns, std::vector<std::string>{"10.0.0.1"});
  EXPECT_EQ(file->config.labels, std::vector<std::string>{"a=b"});
  write_json("{}");
  EXPECT_NE(error_of({"--default-ipc-mode=host"}).find("private or shareable"), std::string::npos);
  EXPECT_NE(error_of({"--default-ulimit=nofile"}).find("NAME=SOFT"), std::string::npos);
  EXPECT_NE(error_of({"--icc=false"}).find("not supported yet"), std::string::npos);
  EXPECT_NE(error_of({"--bridge=br0"}).find("only none"), std::string::npos);
}

TEST_F(Config, ReadsDaemonJson) {
  write_json(
      R"({"data-root":"/x","registry-mirrors":["https://m"],"debug":true,"hosts":["unix:///h"]})");
  const auto r = load_config({}, around);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->config.data_root, "/x");
  EXPECT_EQ(r->config.mirrors, std::vector<std::string>{"https://m"});
  EXPECT_EQ(r->config.hosts, std::vector<std::string>{"/h"});
  EXPECT_TRUE(r->config.debug);
}

TEST_F(Config, TakesProxiesAsFlagsAndInDaemonJson) {
  const auto flags = load_config({"--http-proxy", "http://u:p@x:1", "--no-proxy=a,b"}, around);
  ASSERT_TRUE(flags) << flags.error().message;
  EXPECT_EQ(flags->config.proxies.http, "http://u:p@x:1");
  EXPECT_EQ(flags->config.proxies.https, "");
  EXPECT_EQ(flags->config.proxies.none_for, "a,b");
  write_json(R"({"proxies":{"http-proxy":"http://h","https-proxy":"http://s","no-proxy":"n"}})");
  const auto file = load_config({}, around);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->config.proxies.https, "http://s");
  EXPECT_EQ(file->config.proxies.none_for, "n");
  EXPECT_NE(error_of({"--no-proxy", "x"}).find("no-proxy: (from flag: x, from file: n)"),
            std::string::npos);
  write_json(R"({"proxies":{"ftp-proxy":"x","debug":true}})");
  const auto wrong = error_of({});
  EXPECT_NE(wrong.find("proxies.ftp-proxy, proxies.debug"), std::string::npos) << wrong;
}

TEST_F(Config, NamesWhatIsWrongInDaemonJson) {
  const std::string start =
      "unable to configure the daemon with file " + dir + "/.config/coracle/daemon.json: ";
  write_json(R"({"colour":1,"smell":2})");
  EXPECT_EQ(error_of({}), start +
                              "the following directives don't match any configuration option: "
                              "colour, smell");
  write_json(R"({"debug":"yes"})");
  EXPECT_EQ(error_of({}), start + "debug: expected true or false");
  write_json(R"({"log-level":"warn"})");
  EXPECT_EQ(error_of({"--log-level", "info"}),
            start +
                "the following directives are specified both as a flag and in the configuration "
                "file: log-level: (from flag: info, from file: warn)");
  write_json("{");
  EXPECT_NE(error_of({}).find("invalid JSON"), std::string::npos);
  EXPECT_NE(error_of({"--config-file", dir + "/none"}).find("no such file"), std::string::npos);
}

TEST_F(Config, WarnsWhereThereIsNoRuntimeDirectory) {
  around.env.erase("XDG_RUNTIME_DIR");
  const auto r = load_config({}, around);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->config.warnings.size(), 1u);
}

}  // namespace
}  // namespace coracle::shim
