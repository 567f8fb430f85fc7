// What is said where Docker would need swarm mode.
#pragma once

namespace coracle::api {

constexpr const char* kNoManager =
    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to "
    "connect this node to swarm and try again.";

}  // namespace coracle::api
