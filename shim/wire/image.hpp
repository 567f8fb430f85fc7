// Images in Docker's JSON, the credentials header, platforms.
#pragma once

#include <cstddef>
#include <string>

#include "engine/base/json_fwd.hpp"
#include "engine/base/result.hpp"
#include "shim/http/message.hpp"
#include "storage/images/image.hpp"
#include "storage/registry/credentials.hpp"
#include "storage/registry/remote_image.hpp"

namespace coracle::wire {

// GET /images/{i}/json
json::Value image_json(const storage::Image& image, const std::string& driver,
                       http::ApiVersion version);
// One element of GET /images/json.
json::Value image_summary(const storage::Image& image, std::size_t containers,
                          http::ApiVersion version);
// GET /images/{i}/history
json::Value history_json(const storage::Image& image);
// The answer of /distribution.
json::Value remote_image_json(const storage::RemoteImage& image);
json::Value removed_json(const storage::Removed& removed);

// The header X-Registry-Auth: base64 of JSON. Garbage is no credentials, not an error.
storage::RegistryAuth parse_registry_auth(const std::string& header);
// A platform as OCI's JSON: {"os":"linux","architecture":"arm64","variant":"v8"}
//   errors  invalid_argument
Result<storage::Platform> decode_platform(const std::string& text);
// The body of POST /auth.
Result<storage::RegistryAuth> parse_auth_body(const json::Value& body);

}  // namespace coracle::wire
