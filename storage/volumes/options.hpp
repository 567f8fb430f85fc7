// What the local driver's options of a volume ask for: {type, o, device}. Pure.
//   none      a directory of our own
//   bind      {type: none, o: bind, device: /path}: that directory of the host stands for the
//   volume tmpfs     {type: tmpfs, device: tmpfs, o: size=…,uid=…,mode=…}: memory, mounted while it
//   is used
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle::storage {

struct VolumeMount {
  enum class Kind : std::uint8_t { none, bind, tmpfs };
  Kind kind = Kind::none;
  std::string device;              // bind: the directory; tmpfs: the name that it has in mountinfo
  std::vector<std::string> flags;  // mount(8)'s words: ro, nosuid, noexec, …
  std::string data;                // tmpfs: its own options
};

// errors: invalid_argument with Docker's texts; unsupported: what an ordinary user cannot mount.
// Each begins with "create NAME: ".
Result<VolumeMount> read_volume_options(const std::string& name,
                                        const std::map<std::string, std::string>& options);

// The words as MS_* of mount(2).
unsigned long mount_flags(const std::vector<std::string>& words);

}  // namespace coracle::storage
