// What of Ethernet and IPv4 is looked at in a container's frames. See RFC 791 and 9293.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coracle::netstack {

constexpr std::size_t kEthernet = 14;
constexpr std::size_t kIpv4Header = 20;  // without options
constexpr std::size_t kTcpHeader = 20;   // without options
constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;

}  // namespace coracle::netstack
