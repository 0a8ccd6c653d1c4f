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
    json_t *env;      /* variables of its container, name -> text; owned; NULL: none */
};

/* Specs of ProxyConfigs that hold for a pod: under its annotation, the weaker first, and over it.
 * Borrowed; NULL: none. */
struct inject_settings {
    const json_t *under[2], *over;
};

struct object_reader;
/* A ProxyConfig's spec, over what *ret says; what cannot be heeded is told (r may have no findings)
 * and left out. */
void inject_config_lay(const json_t *spec, struct object_reader *r, struct inject_config *ret);
void inject_config_done(struct inject_config *c);
/* Over what *ret says. -EINVAL: with the path of what cannot be heeded. */
int inject_config_read(const char *text, struct inject_config *ret, struct err *reterr) NODISCARD;
