// A file that a URL names (docker import URL), read on a thread while it still arrives.
#pragma once

#include <functional>
#include <string>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "storage/content/byte_source.hpp"
#include "storage/content/progress.hpp"
#include "storage/images/image.hpp"
#include "storage/registry/transfer.hpp"

namespace coracle::storage {

// What is made of the bytes; on a thread of its own.
using RemoteFileUse = std::function<Result<Image>(ByteSource&, const StopFlag&)>;

// The URL that is meant: one without a scheme is http's, as at Docker.
//   errors  invalid_argument: no URL, or not one of http or https
Result<std::string> remote_file_url(const std::string& text);

// Progress: "Downloading from URL" with the first byte, then bars. Cancelling it ends the download
// and the use.
//   url     of remote_file_url()
//   errors  not_found (404, no such host), by the status, internal (no answer), those of `use`
Task<Image> use_remote_file(asio::io_context& io, Transfer& transfer, std::string url,
                            RemoteFileUse use, ProgressSink sink);

}  // namespace coracle::storage
