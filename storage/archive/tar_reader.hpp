// Tar archives, entry by entry from a ByteSource: ustar, pax, GNU, v7, with GNU's sparse files. Our
// own, since what is read here is the most hostile that the engine meets: every byte of an entry is
// checked or refused, memory is bounded, nothing is guessed. docs/decisions/0060.
//
//   damaged    a wrong checksum, a number that is none, a lone block of zeros, an end within an
//              entry, a NUL within a name: an error, never an early end
//   the end    two blocks of zeros, or the source's end where a header could begin (programs exist
//              that write no more); what lies behind is not looked at
//   bounds     extended headers of one entry: kMostExtended bytes; a file: tar::kLargestFile
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "storage/archive/archive.hpp"
#include "storage/archive/tar_header.hpp"
#include "storage/content/byte_source.hpp"

namespace coracle::storage {

class TarReader final : private ByteSource {
 public:
  static constexpr std::int64_t kMostExtended = std::int64_t{1} << 20;

  // The source must outlive it.
  explicit TarReader(ByteSource& source);

  // The next entry; null at the end. It lives until the next call.
  //   errors  invalid_argument (damaged), the source's own; after one there is no next
  Result<const ArchiveEntry*> next();
  // The entry's data, block by block with the offset of each (holes are left out). What is not
  // read is skipped by next().
  using Block = std::function<Result<>(std::string_view bytes, std::int64_t offset)>;
  Result<> data(const Block& block);
  // The entry's data as a source, valid until next(). It gives what the archive holds and no more:
  // a sparse file is an error.
  ByteSource& data_source() { return *this; }

 private:
  Result<std::size_t> read(std::span<char> into) override;
  Result<std::string_view> peek(std::size_t size);
  Result<std::string_view> block();
  Result<> skip(std::int64_t bytes);
  Result<bool> header(tar::Header& h);
  Result<std::string> extended(std::int64_t size);
  Result<> build(const tar::Header& h, tar::Pax& pax);
  Result<> set_size(const tar::Header& h, tar::Pax& pax);
  Result<> read_map();

  ByteSource& source_;
  std::vector<char> buffer_;
  std::size_t at_ = 0, end_ = 0;  // of what is in the buffer
  std::int64_t left_ = 0;         // stored bytes of the entry at hand that were not taken
  std::int64_t padding_ = 0;      // behind them
  std::int64_t extended_ = 0;     // bytes of extended headers, of the entry at hand
  std::size_t part_ = 0;          // of parts_, and how much of it was taken
  std::int64_t taken_ = 0;
  std::vector<tar::Part> parts_;
  bool first_ = true;
  ArchiveEntry entry_;
};

}  // namespace coracle::storage
