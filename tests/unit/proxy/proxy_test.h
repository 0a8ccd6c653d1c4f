#pragma once
/* Route tables from JSON. */

#include "message_test.h"
#include "proxy/route.h"

static int table_from(const char *text, struct route_table **ret, struct err *reterr)
{
    AUTO(arena) struct arena *a = arena_new(0);
    const ProtobufCMessage *m =
        message_from(text, &envoy__config__route__v3__route_configuration__descriptor, a);
    return route_table_compile((const Envoy__Config__Route__V3__RouteConfiguration *)m, ret,
                               reterr);
}

static struct route_table *table(const char *text)
{
    struct route_table *t = NULL;
    struct err err = {0};
    if (table_from(text, &t, &err) < 0)
        fail_msg("%s", err_text(&err));
    return t;
}
