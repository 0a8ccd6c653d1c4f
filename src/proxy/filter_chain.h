#pragma once
/* Filter chains of a listener, and the choice between them: what a connection is told by (Envoy's
 * FilterChainMatch), each fact narrowing the choice to the most specific that matches, never going
 * back. */

#include <envoy/config/listener/v3/listener_components.pb-c.h>

#include "base/addr.h"
#include "proxy/http_config.h"
#include "proxy/tcp_config.h"
#include "proxy/transport_config.h"

enum { FILTER_CHAINS_MAX = 10000, FILTER_CHAIN_MATCHES_MAX = 100000 };

/* What is known of a connection before its chain is chosen. */
struct filter_chain_facts {
    struct ip destination, source, direct_source; /* family 0: a Unix socket */
    uint16_t destination_port, source_port;
    bool tls;
    struct str server_name; /* lower case; empty: none */
    struct str protocols;   /* offered, as tls_hello_next_protocol reads them */
};

struct filter_chain_match;
struct network_rbac;

struct filter_chain {
    char *name;
    struct filter_chain_match *match; /* NULL: of everything */
    struct tls_slot *tls;             /* NULL: plain */
    uint64_t handshake_timeout_ms;
    /* Who may connect, each asked in turn. */
    VEC(struct network_rbac *) rbac;
    /* One of the two serves it. */
    struct http_config *http;
    struct tcp_config *tcp;
};

struct filter_chains {
    VEC(struct filter_chain) v;
    struct filter_chain *otherwise; /* default_filter_chain; NULL: none */
    bool needs_tls_facts;           /* some match by what a ClientHello says */
    struct map by_name; /* server name -> struct filter_chain_list; empty: see filter_chains_index
                         */
};

struct filter_chain_list {
    VEC(const struct filter_chain *) all;
};

/* c->path stands at the listener. */
int filter_chains_compile(struct compile *c, Envoy__Config__Listener__V3__FilterChain *const *m,
                          size_t n, const Envoy__Config__Listener__V3__FilterChain *otherwise,
                          struct filter_chains *ret) NODISCARD;
void filter_chains_done(struct filter_chains *all);
/* So that a connection does not cost more the more names there are. Possible where no chain matches
 * by what goes before the name. */
void filter_chains_index(struct filter_chains *all);
/* NULL: none. */
const struct filter_chain *filter_chains_find(const struct filter_chains *all,
                                              const struct filter_chain_facts *f);
