#include "storage/archive/tar_reader.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace coracle::storage {
namespace {

constexpr std::size_t kBuffer = std::size_t{256} << 10;

std::int64_t padding_of(std::int64_t size) {
  constexpr auto kSize = static_cast<std::int64_t>(tar::kBlock);
  return (kSize - size % kSize) % kSize;
}

std::unexpected<Error> cut() { return fail(Errc::invalid_argument, "archive: unexpected end"); }

mode_t type_of(char type) {
  switch (type) {
    case '2': return S_IFLNK;
    case '3': return S_IFCHR;
    case '4': return S_IFBLK;
    case '5':
    case 'D': return S_IFDIR;  // GNU's, with a list of names as data
    case '6': return S_IFIFO;
    default: return S_IFREG;  // also what is not known. See pax(1).
  }
}

// Links, devices, directories and fifos have none, whatever their size says: as GNU tar and Go read
// them.
bool has_data(char type) { return type < '1' || type > '6'; }

}  // namespace

TarReader::TarReader(ByteSource& source) : source_(source), buffer_(kBuffer) {}

// At least `size` bytes of the buffer, less only at the source's end.
Result<std::string_view> TarReader::peek(std::size_t size) {
  if (end_ - at_ < size) {
    std::memmove(buffer_.data(), buffer_.data() + at_, end_ - at_);
    end_ -= at_;
    at_ = 0;
    while (end_ < size) {
      TRY(const auto n, source_.read(std::span(buffer_).subspan(end_)));
      if (n == 0) break;
      end_ += n;
    }
  }
  return std::string_view(buffer_.data() + at_, end_ - at_);
}

// One whole block, taken. It lives until the next call.
Result<std::string_view> TarReader::block() {
  TRY(const auto seen, peek(tar::kBlock));
  if (seen.size() < tar::kBlock) return cut();
  at_ += tar::kBlock;
  return seen.substr(0, tar::kBlock);
}

Result<> TarReader::skip(std::int64_t bytes) {
  while (bytes > 0) {
    TRY(const auto seen, peek(1));
    if (seen.empty()) return cut();
    const auto n = std::min(static_cast<std::int64_t>(seen.size()), bytes);
    at_ += static_cast<std::size_t>(n);
    bytes -= n;
  }
  return {};
}

// False: the archive's end.
Result<bool> TarReader::header(tar::Header& h) {
  TRY(const auto seen, peek(tar::kBlock));
  if (seen.size() < tar::kBlock) {
    if (tar::is_zero(seen)) return false;
    return first_ ? fail(Errc::invalid_argument, "archive: this is no tar") : cut();
  }
  if (tar::is_zero(seen.substr(0, tar::kBlock))) {
    TRY(const auto both, peek(2 * tar::kBlock));
    if (tar::is_zero(both.substr(tar::kBlock, tar::kBlock))) return false;
    return fail(Errc::invalid_argument, "archive: a block of zeros where a header should be");
  }
  TRY(const auto bytes, block());
  auto parsed = tar::parse_header(bytes);
  if (!parsed)
    return std::unexpected(
        parsed.error().within("{}", first_ ? "archive: this is no tar" : "archive"));
  h = *std::move(parsed);
  first_ = false;
  return true;
}

// The body of an extended header.
Result<std::string> TarReader::extended(std::int64_t size) {
  if (size > kMostExtended - extended_)
    return fail(Errc::invalid_argument,
                "archive: more than {} bytes of extended headers for one entry", kMostExtended);
  extended_ += size;
  std::string out;
  out.reserve(static_cast<std::size_t>(size));
  while (out.size() < static_cast<std::size_t>(size)) {
    TRY(const auto seen, peek(1));
    if (seen.empty()) return cut();
    const auto n = std::min(seen.size(), static_cast<std::size_t>(size) - out.size());
    out.append(seen.substr(0, n));
    at_ += n;
  }
  CHECK(skip(padding_of(size)));
  return out;
}

Result<const ArchiveEntry*> TarReader::next() {
  CHECK(skip(std::exchange(left_, 0)));
  CHECK(skip(std::exchange(padding_, 0)));
  tar::Pax pax;
  bool open = false;  // an extended header waits for its entry
  extended_ = 0;
  for (;;) {
    tar::Header h;
    TRY(const bool more, header(h));
    if (!more) {
      if (open) return cut();
      return nullptr;
    }
    switch (h.type) {
      case 'x':
      case 'X':
      case 'L':
      case 'K': {
        TRY(const auto body, extended(h.size));
        const auto text = std::string_view(body);
        Result<> done;
        if (h.type == 'x' || h.type == 'X') {
          done = tar::take_records(text, pax);
        } else {
          auto name = tar::name_of(text);
          if (name)
            (h.type == 'L' ? pax.path : pax.link) = *std::move(name);
          else
            done = std::unexpected(name.error());
        }
        if (!done) return std::unexpected(done.error().within("archive"));
        open = true;
        continue;
      }
      case 'g':  // for all that follow: comments, in practice
      case 'A':
      case 'N':
      case 'V':
        CHECK(skip(h.size));
        CHECK(skip(padding_of(h.size)));
        continue;
      case 'M': return fail(Errc::unsupported, "archive: a part of an archive of several volumes");
      default: break;
    }
    if (auto done = build(h, pax); !done) return std::unexpected(done.error().within("archive"));
    return &entry_;
  }
}

Result<> TarReader::build(const tar::Header& h, tar::Pax& pax) {
  entry_ = {};
  entry_.path = pax.sparse_name ? *std::move(pax.sparse_name)
                : pax.path      ? *std::move(pax.path)
                                : h.name;
  entry_.type = type_of(h.type);
  // Before there was a type for them, directories were told by their names.
  const bool old_directory =
      (h.type == '\0' || (h.type == '0' && h.size == 0)) && !pax.size && entry_.path.ends_with('/');
  if (old_directory) entry_.type = S_IFDIR;
  entry_.mode = h.mode;
  auto link = pax.link ? *std::move(pax.link) : h.link;
  if (h.type == '1') {
    if (link.empty()) return fail(Errc::invalid_argument, "{}: a link to nothing", h.name);
    entry_.hardlink = std::move(link);
  } else if (h.type == '2') {
    entry_.symlink = std::move(link);
  }
  entry_.uid = pax.uid.value_or(h.uid);
  entry_.gid = pax.gid.value_or(h.gid);
  entry_.mtime = pax.mtime.value_or(timespec{static_cast<time_t>(h.mtime), 0});
  if (h.type == '3' || h.type == '4') entry_.device = makedev(h.device_major, h.device_minor);
  entry_.xattrs = std::move(pax.xattrs);
  return set_size(h, pax);
}

Result<> TarReader::set_size(const tar::Header& h, tar::Pax& pax) {
  part_ = 0;
  taken_ = 0;
  parts_.clear();
  left_ = has_data(h.type) ? pax.size.value_or(h.size) : 0;
  if (left_ > tar::kLargestFile)
    return fail(Errc::invalid_argument, "a file of {} bytes: more than {} are not taken", left_,
                tar::kLargestFile);
  padding_ = padding_of(left_);
  entry_.size = entry_.type == S_IFREG ? left_ : 0;
  const bool old = h.type == 'S';
  entry_.sparse = old || (pax.sparse && entry_.type == S_IFREG && entry_.hardlink.empty());
  if (!entry_.sparse) {
    parts_.push_back({0, left_});
    return {};
  }
  if (old) {
    parts_ = h.parts;
    entry_.size = h.real_size;
    for (bool more = h.more_parts; more;) {
      TRY(const auto bytes, block());
      TRY(more, tar::take_map_block(bytes, parts_));
    }
  } else {
    if (!pax.real_size) return fail(Errc::invalid_argument, "a sparse file whose size is missing");
    entry_.size = *pax.real_size;
    if (pax.map_in_data) {
      CHECK(read_map());
    } else {
      parts_ = std::move(pax.parts);
    }
  }
  return tar::check_parts(parts_, entry_.size, left_);
}

// Format 1.0: the data begin with the number of parts and the parts, a number a line, padded.
Result<> TarReader::read_map() {
  std::string line;
  std::int64_t wanted = -1, offset = -1;  // numbers to come; of a pair
  while (wanted != 0) {
    if (left_ < static_cast<std::int64_t>(tar::kBlock))
      return fail(Errc::invalid_argument, "a sparse map is cut");
    TRY(const auto bytes, block());
    left_ -= static_cast<std::int64_t>(tar::kBlock);
    for (const char c : bytes) {
      if (wanted == 0) break;
      if (c != '\n') {
        line += c;
        if (line.size() > 20) return fail(Errc::invalid_argument, "a sparse map is damaged");
        continue;
      }
      TRY(const auto number, tar::decimal(std::exchange(line, {})));
      if (wanted < 0) {
        if (number > (std::int64_t{1} << 20))
          return fail(Errc::invalid_argument, "a sparse file in {} parts", number);
        wanted = 2 * number;
      } else {
        --wanted;
        if (offset < 0)
          offset = number;
        else
          parts_.push_back({std::exchange(offset, -1), number});
      }
    }
  }
  return {};
}

Result<> TarReader::data(const Block& block) {
  for (; part_ < parts_.size(); ++part_, taken_ = 0) {
    const auto& part = parts_[part_];
    while (taken_ < part.size) {
      TRY(const auto seen, peek(1));
      if (seen.empty()) return cut();
      const auto n = std::min(static_cast<std::int64_t>(seen.size()), part.size - taken_);
      CHECK(block(seen.substr(0, static_cast<std::size_t>(n)), part.offset + taken_));
      at_ += static_cast<std::size_t>(n);
      taken_ += n;
      left_ -= n;
    }
  }
  return {};
}

Result<std::size_t> TarReader::read(std::span<char> into) {
  if (entry_.sparse)
    return fail(Errc::invalid_argument, "{}: a sparse file, where the bytes themselves are needed",
                entry_.path.substr(0, 200));
  if (into.empty() || left_ == 0) return std::size_t{0};
  TRY(const auto seen, peek(1));
  if (seen.empty()) return cut();
  const auto n = std::min({into.size(), seen.size(), static_cast<std::size_t>(left_)});
  std::memcpy(into.data(), seen.data(), n);
  at_ += n;
  left_ -= static_cast<std::int64_t>(n);
  return n;
}

}  // namespace coracle::storage
