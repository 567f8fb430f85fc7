// Compressing layers for registries. The same bytes give the same result with the same ISA-L, so
// an upload that was cut goes on where it stopped, and a layer keeps its digest there.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "engine/base/result.hpp"

namespace coracle::storage {

// One gzip stream, fed piece by piece. One thread at a time.
class Gzip {
 public:
  using Sink = std::function<Result<>(std::string_view)>;
  explicit Gzip(Sink sink);
  ~Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  //   errors  the sink's; internal: ISA-L's
  Result<> write(std::string_view bytes);
  // Ends it; called once.
  Result<> finish();

 private:
  struct State;
  Result<> deflate(std::string_view bytes, bool last);
  std::unique_ptr<State> state_;
  Sink sink_;
};

}  // namespace coracle::storage
