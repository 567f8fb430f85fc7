#include "engine/monitor/streams/scratch.hpp"

#include <sys/mman.h>

namespace coracle::monitor {

Result<Scratch> Scratch::make() {
  void* memory = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return sys_error("map a buffer");
  Scratch made;
  made.memory_ = static_cast<char*>(memory);
  return made;
}

Scratch::~Scratch() {
  if (memory_ != nullptr) ::munmap(memory_, kSize);
}

void Scratch::release() {
  if (memory_ != nullptr) ::madvise(memory_, kSize, MADV_DONTNEED);
}

}  // namespace coracle::monitor
