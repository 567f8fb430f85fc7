#include "engine/runtime/exec_watch.hpp"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <new>
#include <string>

#include "engine/runtime/report.hpp"

namespace coracle::runtime {
namespace {

constexpr std::size_t kMostText = std::size_t{8} << 10;
// A program on a file system that does not answer, or a container that stops the process, must not
// hold its monitor for ever.
constexpr std::chrono::seconds kPatience{60};
// The word is not marked for a child that was killed before it was armed: that is looked for.
constexpr std::chrono::milliseconds kMoment{50};

Errc known_code(std::int32_t value) {
  for (const Errc code :
       {Errc::invalid_argument, Errc::unauthorized, Errc::forbidden, Errc::not_found,
        Errc::conflict, Errc::unchanged, Errc::unsupported, Errc::unavailable})
    if (static_cast<std::int32_t>(code) == value) return code;
  return Errc::internal;
}

// As much of it as there is room for, cut before a character.
std::size_t length_to_keep(const std::string& text) {
  std::size_t n = std::min(text.size(), kMostText);
  while (n < text.size() && n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0U) == 0x80U) --n;
  return n;
}

}  // namespace

struct ExecWatch::Page {
  robust_list_head head{};
  robust_list entry{};  // the list's only one
  std::atomic<std::uint32_t> word{0};
  std::atomic<std::uint32_t> has_error{0};
  std::int32_t code = 0, sys = 0;
  std::uint32_t length = 0;
  std::array<char, kMostText> text;
};

Result<ExecWatch> ExecWatch::make() {
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free && sizeof(Page::word) == 4);
  void* memory =
      ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return sys_error("map memory shared with the container's process");
  return ExecWatch(new (memory) Page);
}

ExecWatch& ExecWatch::operator=(ExecWatch&& other) noexcept {
  std::swap(page_, other.page_);
  return *this;
}

ExecWatch::~ExecWatch() {
  if (page_ != nullptr) ::munmap(page_, sizeof(Page));
}

Result<> ExecWatch::arm() const {
  Page& p = *page_;
  p.entry.next = reinterpret_cast<robust_list*>(&p.head);
  p.head.list.next = &p.entry;
  p.head.futex_offset = reinterpret_cast<char*>(&p.word) - reinterpret_cast<char*>(&p.entry);
  p.head.list_op_pending = nullptr;
  // By the number that we have in our own pid namespace: that is what the kernel compares.
  p.word.store(static_cast<std::uint32_t>(::syscall(SYS_gettid)) | FUTEX_WAITERS);
  if (::syscall(SYS_set_robust_list, &p.head, sizeof p.head) != 0)
    return sys_error("set the list of robust futexes");
  return {};
}

void ExecWatch::fail(const Error& error) const {
  Page& p = *page_;
  p.code = static_cast<std::int32_t>(error.code);
  p.sys = error.sys;
  p.length = static_cast<std::uint32_t>(length_to_keep(error.message));
  std::copy_n(error.message.begin(), p.length, p.text.begin());
  p.has_error.store(1, std::memory_order_release);
  ::_exit(kExitBeforeExec);
}

// However often a container that can write the word wakes us.
bool ExecWatch::over_in_a_moment() const {
  const auto end = std::chrono::steady_clock::now() + kMoment;
  for (;;) {
    const std::uint32_t seen = page_->word.load(std::memory_order_acquire);
    if ((seen & FUTEX_OWNER_DIED) != 0) return true;
    const std::chrono::nanoseconds left = end - std::chrono::steady_clock::now();
    if (left.count() <= 0) return false;
    const timespec most{0, static_cast<long>(left.count())};
    (void)::syscall(SYS_futex, &page_->word, FUTEX_WAIT, seen, &most, nullptr, 0);
  }
}

Result<> ExecWatch::await(const Pidfd& child) const {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!over_in_a_moment()) {
    if (child.ended()) break;
    if (std::chrono::steady_clock::now() < until) continue;
    (void)child.send_signal(SIGKILL);
    return coracle::fail(Errc::unavailable,
                         "exec: the program was not started within {} s: its file system does not "
                         "answer, or the process was stopped",
                         kPatience.count());
  }
  if (page_->has_error.load(std::memory_order_acquire) == 0) return {};
  const std::size_t length = std::min<std::size_t>(page_->length, kMostText);
  return std::unexpected(
      Error{known_code(page_->code), page_->sys, std::string(page_->text.data(), length)});
}

}  // namespace coracle::runtime
