// Bytes to and from a client, who may be slow or gone: what waits for one ends within a moment of
// the flag being set, with nothing more moved. Blocking: for threads of their own.
#pragma once

#include <atomic>
#include <optional>

#include "storage/archive/archive.hpp"
#include "storage/content/byte_source.hpp"

namespace coracle::storage {

class PeerSource final : public ByteSource {
 public:
  PeerSource(const UniqueFd& fd, const std::atomic<bool>& stop) : fd_(fd), stop_(stop) {}
  // An error stays: a socket tells of a sender that broke off once only.
  Result<std::size_t> read(std::span<char> into) override;

 private:
  Result<std::size_t> read_now(std::span<char> into);
  const UniqueFd& fd_;
  const std::atomic<bool>& stop_;
  std::optional<Error> failed_;
};

// Where an ArchiveWriter may write. The descriptor becomes non-blocking; it and the flag must
// outlive the sink.
Result<ArchiveWriter::Sink> peer_sink(const UniqueFd& fd, const std::atomic<bool>& stop);

}  // namespace coracle::storage
