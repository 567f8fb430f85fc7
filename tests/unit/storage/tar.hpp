// Tars made by hand, so that they can hold what no tar program would write; and compressors.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <zlib.h>
#include <zstd.h>

namespace coracle {

class Tar {
 public:
  struct Meta {
    unsigned mode = 0644;
    unsigned uid = 0, gid = 0;
    long mtime = 1'000'000'000;
    std::vector<std::pair<std::string, std::string>> pax;  // extended header records
  };
  Tar& file(const std::string& name, std::string_view data, const Meta& meta) {
    extended(meta);
    header(name, '0', data.size(), "", meta);
    out_ += data;
    pad();
    return *this;
  }
  Tar& file(const std::string& name, std::string_view data) { return file(name, data, Meta{}); }
  Tar& dir(const std::string& name, unsigned mode = 0755) {
    Meta meta;
    meta.mode = mode;
    header(name + "/", '5', 0, "", meta);
    return *this;
  }
  Tar& entry(const std::string& name, char type, const std::string& link = "") {
    header(name, type, 0, link, Meta{});
    return *this;
  }
  Tar& symlink(const std::string& name, const std::string& to) { return entry(name, '2', to); }
  Tar& hardlink(const std::string& name, const std::string& to) { return entry(name, '1', to); }
  // A name too long for its field, for the next entry, as GNU writes it: 'L', or 'K' of a link.
  Tar& long_name(char type, const std::string& name) {
    header("././@LongLink", type, name.size() + 1, "", Meta{});
    out_ += name + '\0';
    pad();
    return *this;
  }
  // Puts bytes into the next header of an entry; its checksum is right.
  Tar& field(std::size_t at, const std::string& bytes) {
    fields_.emplace_back(at, bytes);
    return *this;
  }
  [[nodiscard]] std::string done() const { return out_ + std::string(1024, '\0'); }

 private:
  void extended(const Meta& meta) {
    if (meta.pax.empty()) return;
    std::string records;
    for (const auto& [key, value] : meta.pax) {
      const std::string rest = " " + key + "=" + value + "\n";
      auto size = rest.size() + 1;
      while (std::to_string(size).size() + rest.size() != size) ++size;
      records += std::to_string(size) + rest;
    }
    auto later = std::exchange(fields_, {});
    header("pax", 'x', records.size(), "", Meta{});
    fields_ = std::move(later);
    out_ += records;
    pad();
  }
  void header(const std::string& name, char type, std::size_t size, const std::string& link,
              const Meta& meta) {
    std::array<char, 512> h{};
    const auto text = [&](std::size_t at, std::size_t room, const std::string& value) {
      std::memcpy(h.data() + at, value.data(), std::min(room, value.size()));
    };
    const auto octal = [&](std::size_t at, int digits, unsigned long value) {
      std::snprintf(h.data() + at, static_cast<std::size_t>(digits) + 1, "%0*lo", digits, value);
    };
    text(0, 100, name);
    octal(100, 7, meta.mode);
    octal(108, 7, meta.uid);
    octal(116, 7, meta.gid);
    octal(124, 11, size);
    octal(136, 11, static_cast<unsigned long>(meta.mtime));
    h[156] = type;
    text(157, 100, link);
    text(257, 8,
         std::string("ustar\0"
                     "00",
                     8));
    for (const auto& [at, bytes] : std::exchange(fields_, {}))
      std::memcpy(h.data() + at, bytes.data(), bytes.size());
    std::memset(h.data() + 148, ' ', 8);
    unsigned long sum = 0;
    for (const char c : h) sum += static_cast<unsigned char>(c);
    octal(148, 6, sum);
    out_.append(h.data(), h.size());
  }
  void pad() { out_.append((512 - out_.size() % 512) % 512, '\0'); }
  std::string out_;
  std::vector<std::pair<std::size_t, std::string>> fields_;
};

inline std::string gzipped(std::string_view data) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, data.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  z.avail_in = static_cast<uInt>(data.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

inline std::string zstd_packed(std::string_view data) {
  std::string out(ZSTD_compressBound(data.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 1));
  return out;
}

}  // namespace coracle
