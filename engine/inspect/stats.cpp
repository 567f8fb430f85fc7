#include "engine/inspect/stats.hpp"

#include <algorithm>
#include <chrono>

#include "engine/base/async/own_thread.hpp"
#include "engine/inspect/sample.hpp"
#include "engine/spec/modes.hpp"

namespace coracle {
namespace {

constexpr std::chrono::milliseconds kSampleInterval{1000};

struct Watch {
  Watch(Context& in, ContainerPtr container, StatsOptions asked)
      : context(in), c(std::move(container)), options(asked) {}
  Context& context;
  ContainerPtr c;
  StatsOptions options;
  std::optional<StatsSample> last;
  std::chrono::steady_clock::time_point due;
  bool over = false;
};
using WatchPtr = std::shared_ptr<Watch>;

SampleOrder order_of(const EngineConfig& config, const HostFacts& host_facts, const Container& c,
                     ProcessTree tree) {
  SampleOrder order;
  order.tree = std::move(tree);
  const auto mode = network_mode(c.record.host).kind;
  order.networks = mode != NetworkMode::Kind::host && mode != NetworkMode::Kind::none;
  order.host_memory = static_cast<std::uint64_t>(std::max<std::int64_t>(host_facts.memory, 0));
  order.cpus = static_cast<std::uint32_t>(host_facts.cpus);
  order.data_root = config.data_root;
  return order;
}

// None when it does not run.
Task<std::optional<StatsSample>> sample_now(WatchPtr w) {
  std::optional<StatsSample> none;
  auto tree = process_tree_of(*w->context.storage, *w->c);
  if (!tree) co_return none;
  auto order = order_of(w->context.config, w->context.host, *w->c, *std::move(tree));
  // On no Worker: what /proc tells of a process can wait for that process's memory.
  auto job = [order = std::move(order)] { return take_sample(order); };
  ThreadOwner owner{Lane::trees, w->c->id()};
  auto sample = co_await run_on_thread(w->context.io, std::move(job), std::move(owner));
  if (!sample && sample.error().code == Errc::not_found) co_return none;
  CO_CHECK(sample);
  std::optional<StatsSample> taken = *std::move(sample);
  if (w->last) keep_monotonic(*taken, *w->last);
  co_return taken;
}

// Waits for the next full second of this stream. A client that reads slowly gets fewer samples.
Task<> wait_for_turn(WatchPtr w) {
  asio::steady_timer timer(w->context.io, w->due);
  co_await timer.async_wait(kToken);
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    co_return fail(Errc::unavailable, "the statistics were given up");
  co_return Result<>{};
}

bool is_gone(const Watch& w) {
  return w.context.closing || !w.context.table.all().contains(w.c->id());
}

Task<std::optional<StatsView>> next_view(WatchPtr w) {
  std::optional<StatsView> end;
  if (w->over) co_return end;
  const bool first = w->due == std::chrono::steady_clock::time_point{};
  if (!first) CO_CHECK(co_await wait_for_turn(w));
  if (is_gone(*w)) co_return end;
  CO_TRY(auto sample, co_await sample_now(w));
  w->due = std::max(w->due + kSampleInterval, std::chrono::steady_clock::now());
  if (first) w->due = std::chrono::steady_clock::now() + kSampleInterval;
  if (!w->options.stream && !w->options.one_shot && sample) {
    w->last = std::move(sample);
    CO_CHECK(co_await wait_for_turn(w));
    CO_TRY(sample, co_await sample_now(w));
  }
  w->over = !w->options.stream;
  StatsView view;
  view.id = w->c->id();
  view.name = w->c->name();
  view.before = std::move(w->last);
  w->last = sample;
  view.sample = std::move(sample);
  end.emplace(std::move(view));
  co_return end;
}

class ContainerStats : public StatsStream {
 public:
  explicit ContainerStats(WatchPtr watch) : watch_(std::move(watch)) {}
  Task<std::optional<StatsView>> next() override { return next_view(watch_); }

 private:
  WatchPtr watch_;
};

}  // namespace

std::unique_ptr<StatsStream> open_stats(Context& context, ContainerPtr c, StatsOptions options) {
  return std::make_unique<ContainerStats>(std::make_shared<Watch>(context, std::move(c), options));
}

}  // namespace coracle
