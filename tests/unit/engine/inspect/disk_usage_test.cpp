// What the kernel and ps print, and what df and prune make of it: pure parts.
#include "engine/inspect/disk_usage.hpp"

#include <time.h>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "engine/inspect/sample.hpp"
#include "engine/inspect/top.hpp"
#include "engine/prune.hpp"
#include "engine/request/until.hpp"

namespace coracle {
namespace {

constexpr std::uint64_t kTick = 10'000'000;

TEST(Sample, ReadsTheTimesOfAProcessWhoseNameHasBracketsAndBlanks) {
  const auto use = parse_stat(
      "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 200 0 0 3 4 5 6 20 0 7 0 100 1000000 25 "
      "18446744073709551615 1 1\n",
      kTick, 4096);
  ASSERT_TRUE(use);
  EXPECT_EQ(use->user_ns, 8 * kTick);  // 3 of its own, 5 of those it waited for
  EXPECT_EQ(use->kernel_ns, 10 * kTick);
  EXPECT_EQ(use->waited_user_ns, 5 * kTick);
  EXPECT_EQ(use->threads, 7U);
  EXPECT_EQ(use->resident, 25U * 4096);
  EXPECT_FALSE(parse_stat("42 (a) S 1", kTick, 4096));
}

TEST(Sample, ReadsTheCountersOfInterfacesButLo) {
  const auto all = parse_net_dev(
      "Inter-|   Receive                  |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets\n"
      "    lo:  100  1 0 0 0 0 0 0  100 1 0 0 0 0 0 0\n"
      "  eth0: 1234 10 1 2 0 0 0 0 5678 20 3 4 0 0 0 0\n");
  ASSERT_EQ(all.size(), 1U);
  const auto& eth0 = all.at("eth0");
  EXPECT_EQ(eth0.rx_bytes, 1234U);
  EXPECT_EQ(eth0.rx_dropped, 2U);
  EXPECT_EQ(eth0.tx_bytes, 5678U);
  EXPECT_EQ(eth0.tx_errors, 3U);
}

TEST(Sample, ReadsFieldsWithAndWithoutUnits) {
  const auto fields = parse_fields("Pss:       12 kB\nusage_usec 345\nodd\n");
  EXPECT_EQ(fields.at("Pss"), 12U * 1024);
  EXPECT_EQ(fields.at("usage_usec"), 345U);
  EXPECT_EQ(fields.size(), 2U);
}

TEST(Sample, SumsTheHostsTimesWithoutGuestTimeTwice) {
  EXPECT_EQ(parse_system_ns("cpu  1 2 3 4 5 6 7 8 100 200\ncpu0 1 1 1\n", kTick), 36 * kTick);
}

TEST(Sample, ReadsTheIoOfACgroup) {
  const auto all = parse_io_stat("8:16 rbytes=1459200 wbytes=314773504 rios=192\n253:0 rbytes=1\n");
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1].op, "write");
  EXPECT_EQ(all[1].major_number, 8U);
  EXPECT_EQ(all[1].minor_number, 16U);
  EXPECT_EQ(all[1].bytes, 314773504U);
}

TEST(Sample, NeverCountsBackwards) {
  StatsSample before, after;
  before.cpu.total_ns = before.cpu.user_ns = 50;
  after.cpu.total_ns = after.cpu.kernel_ns = 40;
  keep_monotonic(after, before);
  EXPECT_EQ(after.cpu.total_ns, 50U);
  EXPECT_EQ(after.cpu.user_ns, 50U);
  EXPECT_EQ(after.cpu.kernel_ns, 40U);
}

TEST(Top, TakesTheRowsOfTheContainersProcesses) {
  const auto list = parse_ps(
      "UID   PID  PPID CMD\nroot   10     1 sleep 1  2\nroot    - - thread of it\nmail   11 1 x\n",
      {10});
  ASSERT_TRUE(list);
  EXPECT_EQ(list->titles, (std::vector<std::string>{"UID", "PID", "PPID", "CMD"}));
  ASSERT_EQ(list->rows.size(), 2U);
  EXPECT_EQ(list->rows[0], (std::vector<std::string>{"root", "10", "1", "sleep 1 2"}));
}

TEST(Top, NeedsAColumnOfPids) {
  EXPECT_EQ(parse_ps("COMMAND\nsh\n", {1}).error().message, "Couldn't find PID field in ps output");
  EXPECT_EQ(parse_ps("", {1}).error().message, "Couldn't find PID field in ps output");
  EXPECT_EQ(parse_ps("PID CMD\nx sh\n", {1}).error().message, "Unexpected pid 'x'");
}

void set_zone(const char* name) {
  ::setenv("TZ", name, 1);
  ::tzset();
}

TEST(Until, IsADurationBackOrAMoment) {
  set_zone("UTC");
  const Time at{1'000'000'000'000'000'000};
  EXPECT_EQ(parse_until("1h30m", at)->ns, at.ns - 5'400'000'000'000);
  EXPECT_EQ(parse_until("1.5s", at)->ns, at.ns - 1'500'000'000);
  EXPECT_EQ(parse_until("250ms", at)->ns, at.ns - 250'000'000);
  EXPECT_EQ(parse_until("1700000000", at)->ns, 1'700'000'000'000'000'000);
  EXPECT_EQ(parse_until("2023-11-14T22:13:20Z", at)->ns, 1'700'000'000'000'000'000);
  EXPECT_EQ(parse_until("2023-11-14T22:13:20", at)->ns, 1'700'000'000'000'000'000);
  EXPECT_EQ(parse_until("2023-11-14", at)->ns, 1'699'920'000'000'000'000);
  EXPECT_EQ(parse_until("2023-11-14T22", at)->ns, 1'699'999'200'000'000'000);
  EXPECT_EQ(parse_until("5", at)->ns, 5'000'000'000);
  for (const char* bad : {"", "soon", "1h x", "-1h", "2023-13-14", "Z", "+02:00", "2023-11-14T",
                          "99999999999999999999"})
    EXPECT_FALSE(parse_until(bad, at)) << bad;
}

TEST(Until, ZeroIsTheEpochAndTakesNothing) {
  const Time at{1'000'000'000'000'000'000};
  for (const char* epoch : {"0", "0.0", "-0", "1970-01-01T00:00:00Z"}) {
    const auto rule = prune_rule({{"until", {epoch}}}, at);
    ASSERT_TRUE(rule) << epoch;
    EXPECT_FALSE(rule->takes(at, {})) << epoch;
  }
  EXPECT_TRUE(prune_rule({{"until", {"0s"}}}, at)->takes(at, {}));
}

TEST(Until, WithoutAZoneItIsTheHosts) {
  const Time at{1'700'000'000'000'000'000};
  set_zone("XXX-05:30");
  EXPECT_EQ(parse_until("2023-11-15T03:43:20", at)->ns, at.ns);
  EXPECT_EQ(parse_until("2023-11-15T03:43", at)->ns, at.ns - 20'000'000'000);
  EXPECT_EQ(parse_until("2023-11-14T22:13:20.5Z", at)->ns, at.ns + 500'000'000);
  EXPECT_EQ(parse_until("2023-11-14T22:13Z", at)->ns, at.ns - 20'000'000'000);
  EXPECT_EQ(parse_until("2023-11-14T20:13-02:00", at)->ns, at.ns - 20'000'000'000);
  EXPECT_EQ(parse_until("2023-11-14Z", at)->ns, 1'699'920'000'000'000'000);
  EXPECT_EQ(parse_until("2023-11-14+01:00", at)->ns, 1'699'916'400'000'000'000);
  set_zone("UTC");
}

storage::Image image(std::vector<std::string> diff_ids, std::vector<std::int64_t> sizes) {
  storage::Image i;
  i.diff_ids = std::move(diff_ids);
  i.layer_sizes = std::move(sizes);
  return i;
}

TEST(LayerSums, CountsALayerOncePerPlace) {
  const auto base = image({"a"}, {100});
  const auto app = image({"a", "b"}, {100, 20});
  const auto other = image({"b"}, {20});  // the same bytes on nothing: another layer
  LayerSums sums;
  sums.add(base, false);
  sums.add(app, true);
  sums.add(other, false);
  EXPECT_EQ(sums.total(), 140);
  EXPECT_EQ(sums.unused(), 20);
  EXPECT_EQ(sums.shared(base), 100);
  EXPECT_EQ(sums.shared(app), 100);
  EXPECT_EQ(sums.shared(other), 0);
}

TEST(PruneRule, TakesByAgeAndLabels) {
  const Time at{2'000'000'000'000'000'000};
  const auto rule = prune_rule({{"until", {"1h"}}, {"label", {"a"}}, {"label!", {"keep=1"}}}, at);
  ASSERT_TRUE(rule);
  const Time old{at.ns - 7'200'000'000'000};
  EXPECT_TRUE(rule->takes(old, {{"a", "x"}}));
  EXPECT_FALSE(rule->takes(at, {{"a", "x"}}));
  EXPECT_FALSE(rule->takes(old, {}));
  EXPECT_FALSE(rule->takes(old, {{"a", ""}, {"keep", "1"}}));
  EXPECT_TRUE(rule->takes(old, {{"a", ""}, {"keep", "2"}}));
  EXPECT_EQ(prune_rule({{"until", {"1h", "2h"}}}, at).error().message,
            "more than one until filter specified");
}

}  // namespace
}  // namespace coracle
