#include "shim/wire/network.hpp"

#include "engine/base/json.hpp"

namespace coracle::wire {

using boost::json::array;
using boost::json::object;

json::Value network_json(const NetworkView& network, bool members, http::ApiVersion version) {
  array pools;
  if (!network.subnet.empty()) {
    object pool{{"Subnet", network.subnet}};
    if (!network.gateway.empty()) pool["Gateway"] = network.gateway;
    pools.push_back(std::move(pool));
  }
  object containers;
  for (const auto& [id, m] : network.members) {
    if (!members) break;
    containers[id] = object{{"Name", m.name},
                            {"EndpointID", m.endpoint_id},
                            {"MacAddress", m.mac},
                            {"IPv4Address", m.address},
                            {"IPv6Address", ""}};
  }
  object o;
  o["Name"] = network.name;
  o["Id"] = network.id;
  o["Created"] = to_rfc3339(network.created);
  o["Scope"] = "local";
  o["Driver"] = network.driver;
  if (version >= http::ApiVersion{1, 48}) o["EnableIPv4"] = true;
  o["EnableIPv6"] = false;
  o["IPAM"] = object{{"Driver", "default"}, {"Options", nullptr}, {"Config", std::move(pools)}};
  o["Internal"] = network.internal;
  o["Attachable"] = false;
  o["Ingress"] = false;
  o["ConfigFrom"] = object{{"Network", ""}};
  o["ConfigOnly"] = false;
  o["Containers"] = std::move(containers);
  o["Options"] = json::to_json(network.options);
  o["Labels"] = json::to_json(network.labels);
  return o;
}

}  // namespace coracle::wire
