// Images as the store has them, and what is asked of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ident.hpp"
#include "storage/content/descriptor.hpp"
#include "storage/images/reference.hpp"

namespace coracle::storage {

struct Healthcheck {
  std::vector<std::string> test;
  std::int64_t interval_ns = 0, timeout_ns = 0, start_period_ns = 0, start_interval_ns = 0;
  std::int32_t retries = 0;
  bool operator==(const Healthcheck&) const = default;
};
void describe(auto& field, Healthcheck& h) {
  field("Test", h.test)("Interval", h.interval_ns)("Timeout", h.timeout_ns)(
      "StartPeriod", h.start_period_ns)("StartInterval", h.start_interval_ns)("Retries", h.retries);
}

struct Empty {
  bool operator==(const Empty&) const = default;
};
void describe(auto& /*field*/, Empty& /*e*/) {}

// `config` of an image's configuration (OCI image-spec; Docker's names).
struct ImageConfig {
  std::string user;
  std::map<std::string, Empty> exposed_ports;
  std::vector<std::string> env, entrypoint, cmd;
  std::map<std::string, Empty> volumes;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::optional<Healthcheck> healthcheck;
  std::vector<std::string> shell, on_build;
};
void describe(auto& field, ImageConfig& c) {
  field("User", c.user)("ExposedPorts", c.exposed_ports)("Env", c.env)("Entrypoint", c.entrypoint)(
      "Cmd", c.cmd)("Volumes", c.volumes)("WorkingDir", c.working_dir)("Labels", c.labels)(
      "StopSignal", c.stop_signal)("Healthcheck", c.healthcheck)("Shell", c.shell)("OnBuild",
                                                                                   c.on_build);
}

struct HistoryEntry {
  Time created;
  std::string created_by, comment, author;
  bool empty_layer = false;
};
void describe(auto& field, HistoryEntry& h) {
  field("created", h.created)("created_by", h.created_by)("comment", h.comment)("author", h.author)(
      "empty_layer", h.empty_layer);
}

// An image as the store has it.
struct Image {
  std::string id;                         // "sha256:…" of the configuration
  std::vector<std::string> repo_tags;     // familiar form: "alpine:3", "127.0.0.1:5000/x:1"; sorted
  std::vector<std::string> repo_digests;  // "alpine@sha256:…"
  Time created;
  std::string author, comment, architecture, variant, os;
  ImageConfig config;
  std::vector<std::string> diff_ids;  // lowest first
  std::vector<HistoryEntry> history;
  std::int64_t size = 0;                  // bytes unpacked, all layers
  std::vector<std::int64_t> layer_sizes;  // as diff_ids
  std::string parent;
  Time last_tag_time;
  std::vector<std::string> layer_dirs;  // as diff_ids: where each is unpacked; of find() alone
};

struct Removed {
  std::vector<std::string> untagged, deleted;
};

// A tar that becomes a one-layer image.
struct ImportOptions {
  std::optional<Reference> tag;
  std::string source = "-";          // where it comes from, for the history
  std::string message;               // "": "Imported from SOURCE"
  std::vector<std::string> changes;  // Dockerfile instructions (CMD, ENV, …)
  Platform platform;
};

// What a commit makes of a writable layer.
struct CommitOptions {
  std::optional<Reference> tag;
  std::string comment, author, created_by;
  ImageConfig config;
  std::vector<std::string> changes;  // Dockerfile instructions (CMD, ENV, …), applied to it
  ImageConfig defaults;              // what is open after that: the container's own
};

}  // namespace coracle::storage
