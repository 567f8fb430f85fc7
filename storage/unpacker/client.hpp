// inflated() and unpack() in a process of their own, coracle-unpack: libraries that parse what a
// registry, an image or a client has sent run with no capability that they do not need, no network,
// and no file but those below the directory that is filled (storage/unpacker/sandbox). What the
// daemon itself does with such bytes is to pass them on and to hash them.
#pragma once

#include <memory>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "storage/archive/unpack.hpp"
#include "storage/content/byte_source.hpp"

namespace coracle::storage {

// As inflated(); bytes that are not compressed pass through without a process. `from` is read on
// another thread, to its end also where the compressed data end earlier, and until the answer is
// destroyed.
Result<std::unique_ptr<ByteSource>> inflated_apart(ByteSource& from, Compression compression);

// As unpack(); reads `tar` on the calling thread, to its end unless something fails.
Result<Unpacked> unpack_apart(ByteSource& tar, const UniqueFd& root, const UnpackOptions& options);

}  // namespace coracle::storage
