#include "netstack/relay/relay.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/log.hpp"

namespace coracle::netstack {
namespace {

constexpr int kPipeSize = 256 * 1024;
constexpr std::size_t kSparePipes = 32;
constexpr std::size_t kPipeEnds = 2;
constexpr int kRounds = 8;  // then the others have their turn
constexpr std::chrono::seconds kFarewell{1};
constexpr std::uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

}  // namespace

void reset_connection(UniqueFd socket) {
  const linger none{1, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

class Relay {
 public:
  Relay(Relays& owner, UniqueFd near, UniqueFd far, Charge charge)
      : owner_(owner), near_(std::move(near)), far_(std::move(far)), charge_(std::move(charge)) {}
  ~Relay() {
    near_watch_.reset();
    far_watch_.reset();
    if (broken_) {
      reset_connection(std::move(near_));
      reset_connection(std::move(far_));
    }
    // A pipe with data in it is not given back: it is closed.
    for (auto* way : {&out_, &in_}) {
      if (way->pipe.read && way->held == 0) owner_.give_pipe(std::move(way->pipe));
    }
  }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  bool start();
  // May destroy this relay.
  void pump();
  [[nodiscard]] const TenantPtr& tenant() const { return charge_.tenant(); }
  // Its destructor resets both sides.
  void break_off() { broken_ = true; }

  std::list<Relay*>::iterator place;
  bool queued = false;

 private:
  struct Way {
    Pipe pipe;
    std::size_t held = 0;  // bytes in the pipe
    bool eof = false;      // nothing more comes
    bool shut = false;     // and the other side was told
  };
  enum class Step { idle, more, broken };
  Step move(Way& way, const UniqueFd& from, const UniqueFd& to);
  Step fill(Way& way, const UniqueFd& from);
  Step drain(Way& way, const UniqueFd& to);
  bool connected();

  Relays& owner_;
  UniqueFd near_;
  UniqueFd far_;
  Charge charge_;
  Loop::Watch near_watch_;
  Loop::Watch far_watch_;
  Way out_;  // near to far
  Way in_;
  bool connecting_ = true;
  bool broken_ = false;
};

bool Relay::start() {
  auto far = owner_.loop_.watch(far_, kEvents, [this](std::uint32_t) { pump(); });
  auto near = owner_.loop_.watch(near_, kEvents, [this](std::uint32_t) { pump(); });
  if (!far || !near) {
    broken_ = true;
    return false;
  }
  far_watch_ = *std::move(far);
  near_watch_ = *std::move(near);
  return true;
}

// Has the far side's connect(2) ended? A socket that is still connecting is neither writable nor in
// error.
bool Relay::connected() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(far_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    broken_ = true;
    return true;
  }
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  return ::getpeername(far_.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0;
}

Relay::Step Relay::fill(Way& way, const UniqueFd& from) {
  if (!way.pipe.read) {
    if (tenant() && !tenant()->may_grow(kPipeEnds)) return Step::broken;
    auto pipe = owner_.take_pipe();
    if (!pipe) return Step::broken;
    way.pipe = *std::move(pipe);
    charge_.set(charge_.descriptors() + kPipeEnds);
  }
  const ssize_t n = ::splice(from.get(), nullptr, way.pipe.write.get(), nullptr, kPipeSize,
                             SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (n > 0) {
    way.held = static_cast<std::size_t>(n);
    return Step::more;
  }
  if (n == 0) {
    way.eof = true;
    return Step::more;
  }
  return errno == EAGAIN || errno == EINTR ? Step::idle : Step::broken;
}

Relay::Step Relay::drain(Way& way, const UniqueFd& to) {
  const ssize_t n = ::splice(way.pipe.read.get(), nullptr, to.get(), nullptr, way.held,
                             SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (n > 0) {
    way.held -= static_cast<std::size_t>(n);
    return Step::more;
  }
  return n < 0 && (errno == EAGAIN || errno == EINTR) ? Step::idle : Step::broken;
}

Relay::Step Relay::move(Way& way, const UniqueFd& from, const UniqueFd& to) {
  Step step = Step::more;
  for (int round = 0; round < kRounds && step == Step::more; ++round) {
    while (way.held > 0 && step == Step::more) step = drain(way, to);
    if (step != Step::more) break;
    if (way.eof) {
      if (!way.shut) ::shutdown(to.get(), SHUT_WR);
      way.shut = true;
      step = Step::idle;
    } else {
      step = fill(way, from);
    }
  }
  if (step == Step::idle && way.held == 0 && way.pipe.read) {
    owner_.give_pipe(std::move(way.pipe));
    way.pipe = {};
    charge_.set(charge_.descriptors() - kPipeEnds);
  }
  return step;
}

void Relay::pump() {
  if (connecting_) {
    if (!connected()) return;
    connecting_ = false;
  }
  if (!broken_) {
    // A side that answered and closed before it read everything has reset the connection: what it
    // said is brought over first.
    const Step out = move(out_, near_, far_);
    const Step in = move(in_, far_, near_);
    if (out == Step::more || in == Step::more) return owner_.again(this);
    broken_ = out == Step::broken || in == Step::broken;
  }
  if (broken_ || (out_.shut && in_.shut)) owner_.end(this);
}

Relays::Relays(Loop& loop, Shares& shares) : loop_(loop) {
  shares.on_close([this](const TenantPtr& tenant) {
    const auto place = farewells_.emplace(farewells_.end());
    *place = loop_.after(kFarewell, [this, tenant, place] {
      end_all_of(tenant);
      farewells_.erase(place);
    });
  });
}

void Relays::end_all_of(const TenantPtr& tenant) {
  for (auto at = relays_.begin(); at != relays_.end();) {
    Relay* relay = *at++;
    if (relay->tenant() != tenant) continue;
    relay->break_off();
    end(relay);
  }
}

Relays::~Relays() {
  for (auto* relay : relays_) delete relay;
}

void Relays::join(UniqueFd near, UniqueFd far, Charge charge) {
  auto* relay = new Relay(*this, std::move(near), std::move(far), std::move(charge));
  if (!relay->start()) {
    delete relay;
    return;
  }
  relay->place = relays_.insert(relays_.end(), relay);
}

Result<Pipe> Relays::take_pipe() {
  if (!pipes_.empty()) {
    Pipe pipe = std::move(pipes_.back());
    pipes_.pop_back();
    return pipe;
  }
  TRY(auto pipe, make_pipe(O_NONBLOCK));
  // Refused above the user's limit (pipe-user-pages-soft): then it is a small one, which works too.
  ::fcntl(pipe.write.get(), F_SETPIPE_SZ, kPipeSize);
  return pipe;
}

void Relays::give_pipe(Pipe pipe) {
  if (pipes_.size() < kSparePipes) pipes_.push_back(std::move(pipe));
}

void Relays::again(Relay* relay) {
  if (relay->queued) return;
  relay->queued = true;
  if (again_.empty()) next_round_ = loop_.after(std::chrono::milliseconds(0), [this] { round(); });
  again_.push_back(relay);
}

void Relays::round() {
  std::vector<Relay*> now;
  now.swap(again_);
  // One that ends while another is pumped is taken out by end(): only itself can end itself.
  for (auto* r : now) {
    r->queued = false;
    r->pump();
  }
}

void Relays::end(Relay* relay) {
  std::erase(again_, relay);
  relays_.erase(relay->place);
  delete relay;
}

}  // namespace coracle::netstack
