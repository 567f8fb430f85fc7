// The parts of a tar's headers, taken apart: 512-byte blocks (ustar, GNU, v7), pax records, sparse
// maps. Pure functions over bytes that anyone may have written; tar_reader puts them together.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "storage/archive/archive.hpp"

namespace coracle::storage::tar {

constexpr std::size_t kBlock = 512;
// Of one file, holes counted: beyond what file systems of this time hold in practice.
constexpr std::int64_t kLargestFile = std::int64_t{8} << 40;

// Bytes of a file that the archive holds; what lies between two of them is a hole.
struct Part {
  std::int64_t offset = 0, size = 0;
  bool operator==(const Part&) const = default;
};

// One header block.
struct Header {
  std::string name, link;
  char type = 0;  // as written; see pax(1): '0' file, '1' hard link, … 'L' 'K' 'S' of GNU, 'x' 'g'
  mode_t mode = 0;
  std::int64_t uid = 0, gid = 0, size = 0, mtime = 0;
  unsigned device_major = 0, device_minor = 0;
  // 'S' alone: the map's beginning, whether another block of it follows, the size with its holes
  std::vector<Part> parts;
  bool more_parts = false;
  std::int64_t real_size = 0;
};

bool is_zero(std::string_view block);
// errors  invalid_argument: a wrong checksum, a number that is none or negative
Result<Header> parse_header(std::string_view block);

// What an extended header says; what it does not say, or says empty, is left open.
struct Pax {
  std::optional<std::string> path, link;
  std::optional<std::int64_t> size, uid, gid;
  std::optional<timespec> mtime;
  std::vector<ArchiveEntry::Xattr> xattrs;
  // GNU's sparse files, formats 0.0 and 0.1 (parts) or 1.0 (the map stands before the data).
  bool sparse = false, map_in_data = false;
  std::optional<std::int64_t> real_size;
  std::optional<std::string> sparse_name;
  std::vector<Part> parts;
};
// Takes the records of one extended header into `pax`; later ones count.
//   errors  invalid_argument: no records, a NUL in a name, a number that is none
Result<> take_records(std::string_view records, Pax& pax);

// The text of GNU's long names: what stands before trailing NULs.   errors  invalid_argument: a NUL
// within
Result<std::string> name_of(std::string_view bytes);

// One continuation block of an old GNU map. True: another follows.
Result<bool> take_map_block(std::string_view block, std::vector<Part>& parts);
// The parts are in order, apart, inside of `real_size`, and hold `stored` bytes.
Result<> check_parts(const std::vector<Part>& parts, std::int64_t real_size, std::int64_t stored);

// Digits alone, up to 2^63 - 1.
Result<std::int64_t> decimal(std::string_view text);

}  // namespace coracle::storage::tar
