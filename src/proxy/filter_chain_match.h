#pragma once
/* What a chain matches by, compiled: an empty list stands for anything. */

#include "proxy/filter_chain.h"

enum filter_chain_fact {
    FACT_DESTINATION_PORT,
    FACT_DESTINATION,
    FACT_SERVER_NAME,
    FACT_TRANSPORT,
    FACT_PROTOCOL,
    FACT_DIRECT_SOURCE,
    FACT_SOURCE_TYPE,
    FACT_SOURCE,
    FACT_SOURCE_PORT,
    _FACT_MAX,
};

enum filter_chain_source { SOURCE_ANY, SOURCE_LOCAL, SOURCE_EXTERNAL };

struct filter_chain_prefixes {
    VEC(struct prefix) all;
};

struct filter_chain_match {
    VEC(uint16_t) destination_ports, source_ports;
    struct filter_chain_prefixes destinations, direct_sources, sources;
    VEC(struct str) server_names; /* owned, lower case; ".example" of "*.example" */
    VEC(struct str) protocols;    /* owned */
    struct str transport;         /* owned; empty: any */
    uint8_t source_type;          /* enum filter_chain_source */
};

int filter_chain_match_compile(struct compile *c,
                               const Envoy__Config__Listener__V3__FilterChainMatch *m,
                               struct filter_chain_match **ret) NODISCARD;
void filter_chain_match_free(struct filter_chain_match *m); /* NULL is allowed */
/* Do two chains match by the same? c->path stands at the listener. */
int filter_chains_check(struct compile *c, const struct filter_chains *all) NODISCARD;
