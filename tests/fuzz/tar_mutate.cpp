#include "tests/fuzz/tar_mutate.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <iterator>

namespace coracle::fuzz {
namespace {

constexpr std::size_t kBlock = 512;
struct Field {
  std::size_t at, size;
};
// See "ustar Interchange Format" of pax(1).
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12},
    kTime{136, 12}, kSum{148, 8}, kType{156, 1}, kLink{157, 100}, kMagic{257, 8}, kMajor{329, 8},
    kMinor{337, 8}, kPrefix{345, 155};
constexpr std::array kNumberFields{kMode, kUid, kGid, kSize, kTime, kMajor, kMinor};
constexpr std::string_view kTypes = "0123456700lxgLKSVDM";

const std::vector<std::string>& names() {
  static const std::vector<std::string> kNames{"a",
                                               "b",
                                               "d/",
                                               "d/a",
                                               "d/b",
                                               "d/d/",
                                               "d/d/a",
                                               ".",
                                               "./",
                                               "..",
                                               "../",
                                               "../a",
                                               "../../outside/file",
                                               "/",
                                               "/a",
                                               "/etc/passwd",
                                               "d/..",
                                               "d/../..",
                                               "d/../../a",
                                               ".wh.a",
                                               ".wh.d",
                                               "d/.wh.a",
                                               ".wh..wh..opq",
                                               "d/.wh..wh..opq",
                                               ".wh.",
                                               ".wh..",
                                               ".wh..wh.plnk",
                                               ".wh..wh..opq/a",
                                               "a/b",
                                               "l",
                                               "l/a",
                                               "l/../a",
                                               "../nest/root/a",
                                               std::string(99, 'n'),
                                               "\xff\xfe",
                                               "caf\xc3\xa9",
                                               "a\nb",
                                               "//a//b",
                                               "./.wh./a"};
  return kNames;
}

const std::vector<std::string>& records() {
  static const std::vector<std::string> kRecords{"path=",
                                                 "linkpath=",
                                                 "size=",
                                                 "uid=",
                                                 "gid=",
                                                 "mtime=",
                                                 "GNU.sparse.major=1",
                                                 "GNU.sparse.minor=0",
                                                 "GNU.sparse.name=a",
                                                 "GNU.sparse.realsize=",
                                                 "GNU.sparse.size=",
                                                 "GNU.sparse.numblocks=",
                                                 "GNU.sparse.offset=",
                                                 "GNU.sparse.numbytes=",
                                                 "GNU.sparse.map=0,0,",
                                                 "SCHILY.xattr.user.a=",
                                                 "SCHILY.xattr.security.capability=",
                                                 "SCHILY.xattr.user.overlay.opaque=y",
                                                 "SCHILY.xattr.trusted.overlay.opaque=y",
                                                 "LIBARCHIVE.xattr.user.b=YQ",
                                                 "hdrcharset=BINARY",
                                                 "SCHILY.dev=",
                                                 "SCHILY.realsize=",
                                                 "SCHILY.fflags=",
                                                 "SCHILY.acl.access=user::rwx",
                                                 "comment="};
  return kRecords;
}

std::string number_text(Random& random) {
  static const std::vector<std::string> kTexts{"0",
                                               "1",
                                               "-1",
                                               "-5",
                                               "511",
                                               "512",
                                               "513",
                                               "65536",
                                               "2147483648",
                                               "4294967295",
                                               "4611686018427387904",
                                               "9223372036854775807",
                                               "18446744073709551615",
                                               "1.5",
                                               "1e9",
                                               ""};
  return kTexts[random.below(kTexts.size())];
}

void set(std::string& tar, std::size_t header, Field field, std::string_view text) {
  for (std::size_t i = 0; i < field.size; ++i)
    tar[header + field.at + i] = i < text.size() ? text[i] : '\0';
}

std::string octal(std::uint64_t n, std::size_t digits) {
  std::string out(digits, '0');
  for (std::size_t i = digits; i-- > 0; n >>= 3) out[i] = static_cast<char>('0' + (n & 7));
  return out;
}

std::size_t size_of(const std::string& tar, std::size_t header) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < kSize.size; ++i) {
    const char c = tar[header + kSize.at + i];
    if (c < '0' || c > '7') break;
    n = n * 8 + static_cast<std::size_t>(c - '0');
  }
  return std::min(n, tar.size());
}

std::vector<std::size_t> headers(const std::string& tar) {
  std::vector<std::size_t> out;
  for (std::size_t at = 0; at + kBlock <= tar.size();) {
    const bool zero = std::all_of(tar.begin() + static_cast<std::ptrdiff_t>(at),
                                  tar.begin() + static_cast<std::ptrdiff_t>(at + kBlock),
                                  [](char c) { return c == 0; });
    if (!zero) out.push_back(at);
    at += kBlock;
    if (!zero) at += (size_of(tar, at - kBlock) + kBlock - 1) / kBlock * kBlock;
  }
  return out;
}

void set_checksum(std::string& tar, std::size_t header) {
  set(tar, header, kSum, "        ");
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) sum += static_cast<unsigned char>(tar[header + i]);
  set(tar, header, kSum, octal(sum, 6) + std::string("\0 ", 2));
}

std::string pax_record(const std::string& text) {
  std::size_t n = text.size() + 3;
  while (std::to_string(n).size() + text.size() + 2 != n)
    n = std::to_string(n).size() + text.size() + 2;
  return std::to_string(n) + " " + text + "\n";
}

std::string pax_entry(Random& random) {
  std::string text;
  for (std::size_t i = 1 + random.below(4); i > 0; --i) {
    std::string record = records()[random.below(records().size())];
    if (record.starts_with("path") || record.starts_with("linkpath"))
      record += names()[random.below(names().size())];
    else if (!record.ends_with('1') && !record.ends_with('y'))
      record += number_text(random);
    text += pax_record(record);
  }
  return tar_entry("pax", random.one_in(8) ? 'g' : 'x', "", text);
}

std::string some_entry(Random& random) {
  const std::string& name = names()[random.below(names().size())];
  const char type = kTypes[random.below(kTypes.size())];
  const std::string& link = names()[random.below(names().size())];
  const bool data = type == '0' || type == 'L' || type == 'K' || random.one_in(8);
  std::string content(data ? random.below(40) : 0, 'c');
  if (type == 'L' || type == 'K')
    content = names()[random.below(names().size())] + std::string(1, '\0');
  return tar_entry(name, type, link, content);
}

void set_some_field(std::string& tar, std::size_t header, Random& random) {
  switch (random.below(6)) {
    case 0: set(tar, header, kName, names()[random.below(names().size())]); return;
    case 1: set(tar, header, kLink, names()[random.below(names().size())]); return;
    case 2: tar[header + kType.at] = kTypes[random.below(kTypes.size())]; return;
    case 3:
      set(tar, header, random.one_in(2) ? kPrefix : kMagic, random.one_in(2) ? "d/.." : "ustar  ");
      return;
    default: break;
  }
  const Field field = kNumberFields[random.below(kNumberFields.size())];
  if (random.one_in(3)) {  // base 256
    std::string bytes(field.size, random.one_in(2) ? '\xff' : '\0');
    bytes[0] = random.one_in(2) ? '\xff' : '\x80';
    for (std::size_t i = 1 + random.below(field.size - 1); i < field.size; ++i)
      bytes[i] = static_cast<char>(random.next());
    set(tar, header, field, bytes);
  } else {
    set(tar, header, field, octal(random.next() >> random.below(64), field.size - 1));
  }
}

}  // namespace

std::string tar_entry(std::string_view name, char type, std::string_view link,
                      std::string_view data) {
  std::string out(kBlock, '\0');
  set(out, 0, kName, name.substr(0, kName.size));
  set(out, 0, kMode, octal(type == '5' ? 0755 : 0644, 7));
  set(out, 0, kUid, octal(0, 7));
  set(out, 0, kGid, octal(0, 7));
  set(out, 0, kSize, octal(data.size(), 11));
  set(out, 0, kTime, octal(1'700'000'000, 11));
  out[kType.at] = type;
  set(out, 0, kLink, link.substr(0, kLink.size));
  set(out, 0, kMagic, std::string_view("ustar\00000", 8));
  set_checksum(out, 0);
  out += data;
  out.resize((out.size() + kBlock - 1) / kBlock * kBlock);
  return out;
}

void mutate_tar(std::string& tar, Random& random) {
  for (std::size_t n = 1 + random.below(3); n > 0; --n) {
    auto at = headers(tar);
    const std::size_t place = at.empty() ? 0 : at[random.below(at.size())];
    const std::size_t whole =
        at.empty() ? 0
                   : std::min(tar.size() - place,
                              kBlock + (size_of(tar, place) + kBlock - 1) / kBlock * kBlock);
    switch (at.empty() ? random.below(2) : random.below(8)) {
      case 0: tar.insert(place, some_entry(random)); break;
      case 1: tar.insert(place, pax_entry(random)); break;
      case 2: tar.erase(place, whole); break;
      case 3: tar.insert(at[random.below(at.size())], tar.substr(place, whole)); break;
      case 4: tar.insert(place + whole, some_entry(random)); break;
      default:
        set_some_field(tar, place, random);
        if (!random.one_in(16)) set_checksum(tar, place);
    }
  }
}

void mend_tar(std::string& tar) {
  for (const auto at : headers(tar)) set_checksum(tar, at);
}

std::vector<std::string> tar_dictionary() {
  auto out = names();
  std::ranges::copy(records(), std::back_inserter(out));
  std::ranges::copy(
      std::vector<std::string>{"ustar", "ustar  ", "GNUtar ", "\x80", "\xff", "./PaxHeaders/"},
      std::back_inserter(out));
  return out;
}

}  // namespace coracle::fuzz
