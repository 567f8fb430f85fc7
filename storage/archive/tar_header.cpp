#include "storage/archive/tar_header.hpp"

#include <algorithm>
#include <charconv>

namespace coracle::storage::tar {
namespace {

constexpr std::size_t kMostParts = std::size_t{1} << 20;
constexpr std::size_t kMostXattrs = 1000;

Result<std::string> without_nul(std::string_view bytes) {
  if (bytes.find('\0') != std::string_view::npos)
    return fail(Errc::invalid_argument, "a name with a NUL in it");
  return std::string(bytes);
}

std::string_view text_at(std::string_view block, std::size_t at, std::size_t size) {
  const auto field = block.substr(at, size);
  return field.substr(0, field.find('\0'));
}

// Octal in ASCII, blanks and NULs around it; or, with the first bit set, 256 to the power of … in
// two's complement, as GNU and star write what octal cannot.
Result<std::int64_t> number_at(std::string_view block, std::size_t at, std::size_t size) {
  auto field = block.substr(at, size);
  const auto first = static_cast<unsigned char>(field[0]);
  if ((first & 0x80U) != 0) {
    const bool negative = (first & 0x40U) != 0;
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = 0; i < field.size(); ++i) {
      auto byte = static_cast<unsigned char>(field[i]);
      if (i == 0) byte = static_cast<unsigned char>(negative ? byte | 0x80U : byte & 0x7fU);
      const auto lost = value >> 55U;  // must be nothing but the sign
      if (lost != (negative ? 0x1ffU : 0U))
        return fail(Errc::invalid_argument, "a number is too large");
      value = value << 8U | byte;
    }
    return static_cast<std::int64_t>(value);
  }
  const auto begin = field.find_first_not_of(std::string_view(" \0", 2));
  if (begin == std::string_view::npos) return 0;
  field.remove_prefix(begin);
  field = field.substr(0, field.find_first_of(std::string_view(" \0", 2)));
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (ec != std::errc{} || end != field.data() + field.size() || value < 0)
    return fail(Errc::invalid_argument, "a number of a header is none");
  return value;
}

// The sum of all bytes with the sum's own field as blanks; old programs added signed ones.
bool is_sum_right(std::string_view block) {
  const auto written = number_at(block, 148, 8);
  if (!written) return false;
  std::int64_t plain = 0, with_sign = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block[i];
    plain += static_cast<unsigned char>(c);
    with_sign += static_cast<signed char>(c);
  }
  return *written == plain || *written == with_sign;
}

Result<> add_part(std::vector<Part>& parts, std::int64_t offset, std::int64_t size) {
  if (parts.size() >= kMostParts)
    return fail(Errc::invalid_argument, "a sparse file in more than {} parts", kMostParts);
  parts.push_back({offset, size});
  return {};
}

// `count` pairs of 12 bytes each; one that is empty ends them.
Result<> take_pairs(std::string_view pairs, std::size_t count, std::vector<Part>& parts) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto pair = pairs.substr(i * 24, 24);
    if (pair[0] == '\0') break;
    TRY(const auto offset, number_at(pair, 0, 12));
    TRY(const auto size, number_at(pair, 12, 12));
    CHECK(add_part(parts, offset, size));
  }
  return {};
}

// "1700000000.25", "-1.5"
Result<timespec> time_of(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const auto dot = std::min(text.find('.'), text.size());
  TRY(const auto seconds, decimal(text.substr(0, dot)));
  auto fraction = std::string(text.substr(std::min(dot + 1, text.size()))).substr(0, 9);
  fraction.resize(9, '0');
  TRY(const auto nanoseconds, decimal(fraction));
  timespec out{static_cast<time_t>(negative ? -seconds : seconds), static_cast<long>(nanoseconds)};
  if (negative && nanoseconds > 0) {
    out.tv_sec -= 1;
    out.tv_nsec = 1'000'000'000 - out.tv_nsec;
  }
  return out;
}

Result<> take_map_text(std::string_view text, std::vector<Part>& parts) {
  parts.clear();
  while (!text.empty()) {
    const auto comma = text.find(',');
    if (comma == std::string_view::npos) return fail(Errc::invalid_argument, "a sparse map is cut");
    const auto end = std::min(text.find(',', comma + 1), text.size());
    TRY(const auto offset, decimal(text.substr(0, comma)));
    TRY(const auto size, decimal(text.substr(comma + 1, end - comma - 1)));
    CHECK(add_part(parts, offset, size));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

template <class T>
Result<> assign(std::optional<T>& to, std::string_view value,
                Result<T> (*parse)(std::string_view)) {
  to.reset();  // an empty value takes back what was said before. See pax(1).
  if (value.empty()) return {};
  TRY(to, parse(value));
  return {};
}

Result<> take_sparse(std::string_view key, std::string_view value, Pax& pax) {
  pax.sparse = true;
  if (key == "major") {
    pax.map_in_data = value == "1";
    if (value != "0" && value != "1")
      return fail(Errc::unsupported, "a sparse file in the format {}", value.substr(0, 20));
  } else if (key == "name") {
    return assign(pax.sparse_name, value, without_nul);
  } else if (key == "size" || key == "realsize") {
    return assign(pax.real_size, value, decimal);
  } else if (key == "map") {
    return take_map_text(value, pax.parts);
  } else if (key == "offset") {
    TRY(const auto offset, decimal(value));
    return add_part(pax.parts, offset, -1);
  } else if (key == "numbytes") {
    if (pax.parts.empty() || pax.parts.back().size >= 0)
      return fail(Errc::invalid_argument, "a sparse map whose offset is missing");
    TRY(pax.parts.back().size, decimal(value));
  }
  return {};  // minor, numblocks: the map tells
}

Result<> take_xattr(std::string_view name, std::string_view value, Pax& pax) {
  TRY(auto text, without_nul(name));
  if (pax.xattrs.size() >= kMostXattrs)
    return fail(Errc::invalid_argument, "more than {} attributes of one file", kMostXattrs);
  std::erase_if(pax.xattrs, [&](const auto& x) { return x.name == text; });
  pax.xattrs.push_back({std::move(text), std::string(value)});
  return {};
}

Result<> take_record(std::string_view key, std::string_view value, Pax& pax) {
  constexpr std::string_view kXattr = "SCHILY.xattr.", kSparse = "GNU.sparse.";
  if (key == "path") return assign(pax.path, value, without_nul);
  if (key == "linkpath") return assign(pax.link, value, without_nul);
  if (key == "size") return assign(pax.size, value, decimal);
  if (key == "uid") return assign(pax.uid, value, decimal);
  if (key == "gid") return assign(pax.gid, value, decimal);
  if (key == "mtime") return assign(pax.mtime, value, time_of);
  if (key.starts_with(kXattr)) return take_xattr(key.substr(kXattr.size()), value, pax);
  if (key.starts_with(kSparse)) return take_sparse(key.substr(kSparse.size()), value, pax);
  return {};
}

}  // namespace

bool is_zero(std::string_view block) {
  return block.find_first_not_of('\0') == std::string_view::npos;
}

Result<std::int64_t> decimal(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size() || text.starts_with('-'))
    return fail(Errc::invalid_argument, "\"{}\" is no number", text.substr(0, 40));
  return value;
}

Result<std::string> name_of(std::string_view bytes) {
  return without_nul(bytes.substr(0, bytes.find_last_not_of('\0') + 1));
}

Result<Header> parse_header(std::string_view block) {
  if (!is_sum_right(block))
    return fail(Errc::invalid_argument, "a header is damaged: its checksum is wrong");
  Header h;
  h.name = text_at(block, 0, 100);
  h.type = block[156];
  h.link = text_at(block, 157, 100);
  TRY(const auto mode, number_at(block, 100, 8));
  h.mode = static_cast<mode_t>(mode & 07777);
  TRY(h.uid, number_at(block, 108, 8));
  TRY(h.gid, number_at(block, 116, 8));
  TRY(h.size, number_at(block, 124, 12));
  TRY(h.mtime, number_at(block, 136, 12));
  if (h.size < 0) return fail(Errc::invalid_argument, "{}: a negative size", h.name);
  const bool posix = block.substr(257, 6) == std::string_view("ustar\0", 6);
  const bool gnu = block.substr(257, 6) == "ustar ";
  if ((posix || gnu) && (h.type == '3' || h.type == '4')) {
    TRY(const auto major, number_at(block, 329, 8));
    TRY(const auto minor, number_at(block, 337, 8));
    h.device_major = static_cast<unsigned>(major);
    h.device_minor = static_cast<unsigned>(minor);
  }
  if (posix) {
    if (const auto prefix = text_at(block, 345, 155); !prefix.empty())
      h.name = std::string(prefix) + "/" + h.name;
  }
  if (h.type == 'S') {
    CHECK(take_pairs(block.substr(386), 4, h.parts));
    h.more_parts = block[482] != '\0';
    TRY(h.real_size, number_at(block, 483, 12));
  }
  return h;
}

Result<bool> take_map_block(std::string_view block, std::vector<Part>& parts) {
  CHECK(take_pairs(block, 21, parts));
  return block[504] != '\0';
}

Result<> take_records(std::string_view records, Pax& pax) {
  // "SIZE KEY=VALUE\n", the size counting all of it.
  while (!records.empty()) {
    if (records[0] == '\0' && is_zero(records)) return {};  // padding
    const auto space = records.substr(0, 20).find(' ');
    if (space == std::string_view::npos)
      return fail(Errc::invalid_argument, "an extended header is damaged");
    TRY(const auto written, decimal(records.substr(0, space)));
    const auto size = static_cast<std::size_t>(written);
    if (size < space + 3 || size > records.size() || records[size - 1] != '\n')
      return fail(Errc::invalid_argument, "an extended header is damaged");
    const auto record = records.substr(space + 1, size - space - 2);
    const auto equals = record.find('=');
    if (equals == std::string_view::npos)
      return fail(Errc::invalid_argument, "an extended header is damaged");
    const auto key = record.substr(0, equals);
    if (auto done = take_record(key, record.substr(equals + 1), pax); !done)
      return std::unexpected(done.error().within("extended header {}", key.substr(0, 100)));
    records.remove_prefix(size);
  }
  return {};
}

Result<> check_parts(const std::vector<Part>& parts, std::int64_t real_size, std::int64_t stored) {
  if (real_size < 0 || real_size > kLargestFile)
    return fail(Errc::invalid_argument, "a sparse file of {} bytes: more than {} are not taken",
                real_size, kLargestFile);
  std::int64_t at = 0, sum = 0;
  for (const auto& part : parts) {
    if (part.offset < at || part.size < 0 || part.offset > real_size ||
        part.size > real_size - part.offset)
      return fail(Errc::invalid_argument, "a sparse map is damaged");
    at = part.offset + part.size;
    sum += part.size;
  }
  if (sum != stored)
    return fail(Errc::invalid_argument, "a sparse map of {} bytes for {} bytes of data", sum,
                stored);
  return {};
}

}  // namespace coracle::storage::tar
