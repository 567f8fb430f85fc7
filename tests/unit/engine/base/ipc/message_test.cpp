#include "engine/base/ipc/message.hpp"

#include <cerrno>

#include <gtest/gtest.h>

#include "engine/base/json.hpp"

namespace coracle {
namespace {

struct Ping {
  static constexpr const char* kOp = "ping";
};
void describe(auto& /*field*/, Ping& /*op*/) {}
struct Put {
  static constexpr const char* kOp = "put";
  std::string name;
  std::int32_t count = 1;
};
void describe(auto& field, Put& p) { field("name", p.name)("count", p.count); }
using Request = message::Request<3, Ping, Put>;

TEST(Message, IsAnEnvelopeAroundTheFieldsOfItsOp) {
  Request request;
  request.seq = 7;
  request.what = Put{"a", 2};
  EXPECT_EQ(R"({"name":"a","count":2,"op":"put","seq":7,"version":3})", json::to_text(request));
  const auto read = json::from_text<Request>(json::to_text(request));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(7U, read->seq);
  ASSERT_TRUE(std::holds_alternative<Put>(read->what));
  EXPECT_EQ("a", std::get<Put>(read->what).name);
  EXPECT_EQ(2, std::get<Put>(read->what).count);
}

TEST(Message, WhatIsNotSaidHasItsDefault) {
  const auto read = json::from_text<Request>(R"({"op":"put","else":[1]})");
  ASSERT_TRUE(read);
  EXPECT_EQ(3, read->version);
  EXPECT_EQ(1, std::get<Put>(read->what).count);
}

TEST(Message, AnOpOfAnotherVersionIsUnknownByItsName) {
  const auto read = json::from_text<Request>(R"({"op":"dance","seq":2,"version":9})");
  ASSERT_TRUE(read);
  EXPECT_EQ("dance", message::name_of_op(read->what));
  EXPECT_EQ(9, read->version);
  EXPECT_TRUE(std::holds_alternative<message::Unknown>(read->what));
}

TEST(Message, AWrongTypeIsRefused) {
  for (const char* bad :
       {R"({"op":"put","name":1})", R"({"op":1})", R"({"op":"ping","seq":"x"})", "[]", "1"})
    EXPECT_FALSE(json::from_text<Request>(bad)) << bad;
}

TEST(Message, AnErrorCrossesWithItsCodeAndErrno) {
  const Error e{Errc::conflict, EBUSY, "in use"};
  const auto back = message::from_wire(message::to_wire(e));
  EXPECT_EQ(e.code, back.code);
  EXPECT_EQ(e.sys, back.sys);
  EXPECT_EQ(e.message, back.message);
}

}  // namespace
}  // namespace coracle
