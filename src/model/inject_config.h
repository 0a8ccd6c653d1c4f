#pragma once
/* What a pod says of its proxy in the annotation proxy.istio.io/config: a part of Istio's
 * ProxyConfig, as YAML or JSON. Pure. */

#include "base/err.h"
#include "codec/json.h"

#define INJECT_CONFIG "proxy.istio.io/config"

enum { INJECT_WORKERS_MAX = 64, INJECT_DRAIN_MAX_S = 3600 };

struct inject_config {
    bool dns_capture; /* what the pod asks of DNS goes to its proxy */
    uint32_t workers; /* 0: not said */
    uint32_t drain_s; /* 0: not said */
};

/* Over what *ret says. -EINVAL: with the path of what cannot be heeded. */
int inject_config_read(const char *text, struct inject_config *ret, struct err *reterr) NODISCARD;
