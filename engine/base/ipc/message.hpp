// What the messages between our processes have in common (over base/ipc/channel, as JSON): one envelope
// around what a protocol asks for.
//
//   request  {op, seq, version, …the op's own fields}
//   reply    {re: the request's seq, error?, …}
//
// A protocol names its ops as structs with their word and their fields:
//   struct Detach { static constexpr const char* kOp = "detach"; std::string container_id; };
//   void describe(auto& field, Detach& d) { field("container_id", d.container_id); }
//   using Request = message::Request<kVersion, Attach, Detach>;
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "engine/base/json.hpp"
#include "engine/base/result.hpp"

namespace coracle::message {

// An Error on its way: its code by name.
struct WireError {
  std::string code;  // name_of(Errc)
  std::int32_t sys = 0;
  std::string message;
};
void describe(auto& field, WireError& e) {
  field("code", e.code)("sys", e.sys)("message", e.message);
}
inline WireError to_wire(const Error& e) { return {name_of(e.code), e.sys, e.message}; }
inline Error from_wire(const WireError& e) { return {errc_from_name(e.code), e.sys, e.message}; }

// What this side does not know: the other one's version is another.
struct Unknown {
  std::string op;
};
void describe(auto& /*field*/, Unknown& /*op*/) {}

template <std::int32_t kVersion, class... Ops>
struct Request {
  using What = std::variant<Unknown, Ops...>;
  std::uint64_t seq = 0;
  std::int32_t version = kVersion;  // kVersion where the message does not say it
  What what;
};

// The word of an op.
template <class... Ops>
std::string name_of_op(const std::variant<Unknown, Ops...>& what) {
  return std::visit(
      []<class Op>(const Op& op) -> std::string {
        if constexpr (std::is_same_v<Op, Unknown>) {
          return op.op;
        } else {
          return Op::kOp;
        }
      },
      what);
}

namespace detail {

template <std::int32_t kVersion>
struct Envelope {
  std::string op;
  std::uint64_t seq = 0;
  std::int32_t version = kVersion;
};
template <std::int32_t kVersion>
void describe(auto& field, Envelope<kVersion>& e) {
  field("op", e.op)("seq", e.seq)("version", e.version);
}

template <class Op, class What>
bool read_op(const std::string& name, const json::Value& value, What& what, Result<>& status) {
  if (name != Op::kOp) return false;
  auto op = json::from_json<Op>(value);
  if (op) {
    what = *std::move(op);
  } else {
    status = std::unexpected(std::move(op).error());
  }
  return true;
}

}  // namespace detail

template <std::int32_t kVersion, class... Ops>
json::Value leaf_to_json(const Request<kVersion, Ops...>& request) {
  auto out = std::visit([](const auto& op) { return json::to_json(op); }, request.what);
  auto& object = out.as_object();
  object["op"] = name_of_op(request.what);
  object["seq"] = request.seq;
  object["version"] = request.version;
  return out;
}

// errors  invalid_argument: a field of the wrong type. An op that is not known is Unknown.
template <std::int32_t kVersion, class... Ops>
Result<Request<kVersion, Ops...>> leaf_from_json(
    const json::Value& value, std::type_identity<Request<kVersion, Ops...>> /*tag*/) {
  TRY(const auto envelope, json::from_json<detail::Envelope<kVersion>>(value));
  Request<kVersion, Ops...> out;
  out.seq = envelope.seq;
  out.version = envelope.version;
  out.what = Unknown{envelope.op};
  Result<> status;
  (void)(detail::read_op<Ops>(envelope.op, value, out.what, status) || ...);
  CHECK(status);
  return out;
}

// A visitor of several functions, one an op.
template <class... Functions>
struct Each : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
Each(Functions...) -> Each<Functions...>;

}  // namespace coracle::message
