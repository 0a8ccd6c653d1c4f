#pragma once
/* What tests of clusters share: sets of endpoints and clusters from JSON, where ' stands for ". */

#include "codec/pb_json.h"
#include "proxy/cluster.h"
#include "test.h"
#include "xds/xds_types.h"

static ProtobufCMessage *message_from(struct arena *a, const ProtobufCMessageDescriptor *d,
                                      const char *text)
{
    AUTO_CHARS char *json = xstrdup(text);
    json_t *j = NULL;
    ProtobufCMessage *m = NULL;
    struct err err = {0};
    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    if (json_parse(str_from(json), 0, NULL, &j, &err) < 0 ||
        pb_json_parse(j, d, &xds_json_types, a, &m, NULL, &err) < 0)
        fail_msg("%s: %s", err_text(&err), json);
    json_decref(j);
    return m;
}

static inline int set_from(const char *text, const struct endpoint_set *before,
                           struct endpoint_set **ret, struct err *reterr)
{
    AUTO(arena) struct arena *a = arena_new(0);
    struct pb_path path = {.n = 0};
    return endpoint_set_compile(
        (const void *)message_from(
            a, &envoy__config__endpoint__v3__cluster_load_assignment__descriptor, text),
        before, &path, ret, reterr);
}

static inline int cluster_from(const char *text, struct cluster **ret, struct err *reterr)
{
    AUTO(arena) struct arena *a = arena_new(0);
    struct compile c = {.scratch = a, .err = reterr};
    return cluster_compile(
        &c, (const void *)message_from(a, &envoy__config__cluster__v3__cluster__descriptor, text),
        ret);
}

/* The lb_endpoints of a set: "h" healthy, "u" unhealthy, "d" degraded, "r" draining, each with its
 * port from `port` on; a digit after it is its weight. */
static inline void add_endpoints(struct endpoint_maker *m, const char *what, uint16_t port)
{
    struct ip ip;
    assert_ok(ip_parse(STR("10.0.0.1"), &ip));
    for (const char *p = what; *p; p++) {
        struct endpoint_entry *e = endpoint_maker_add(m, &ip, port++, STR(""));
        e->status = *p == 'h'   ? ENDPOINT_HEALTHY
                    : *p == 'd' ? ENDPOINT_DEGRADED
                    : *p == 'r' ? ENDPOINT_DRAINING
                                : ENDPOINT_UNHEALTHY;
        if (p[1] >= '1' && p[1] <= '9')
            e->weight = (uint32_t)(*++p - '0');
    }
}

/* Localities: "hhu@1*3/hh" is one of priority 1 and weight 3, and another of priority 0. */
static inline struct endpoint_set *set_of(const char *what)
{
    struct endpoint_maker m;
    uint16_t port = 1;
    endpoint_maker_init(&m, NULL);
    while (*what) {
        char list[64] = "";
        unsigned priority = 0, weight = 0;
        size_t n = strcspn(what, "@*/");
        memcpy(list, what, n);
        what += n;
        if (*what == '@')
            priority = (unsigned)strtoul(what + 1, (char **)(uintptr_t)&what, 10);
        if (*what == '*')
            weight = (unsigned)strtoul(what + 1, (char **)(uintptr_t)&what, 10);
        if (*what == '/')
            what++;
        endpoint_maker_locality(&m, priority, weight);
        add_endpoints(&m, list, port);
        port = (uint16_t)(port + 100);
    }
    struct endpoint_set *s = endpoint_maker_take(&m);
    endpoint_maker_done(&m);
    return s;
}
