#pragma once
/* The topology of an endpoint: what it says of its node, its zone and the nodes and zones it is
 * meant for. Kept as one text, equal for endpoints that say the same whatever the order of their
 * hints, so that a table (base/intern) holds each once. It knows no local node: what it means for
 * one place is a question. */

#include "base/buf.h"
#include "codec/json.h"

enum { TOPOLOGY_HINTS_MAX = 64 }; /* of each kind; the API allows 8 */

/* From where one asks. Either may be NULL: not known. */
struct place {
    const char *node;
    const char *zone;
};

enum topology_answer {
    TOPOLOGY_HERE = 1 << 0,    /* on the node of the place */
    TOPOLOGY_NO_NODE = 1 << 1, /* names no node */
    TOPOLOGY_NODE_HINTS = 1 << 2,
    TOPOLOGY_NODE_HINT_HERE = 1 << 3, /* one of them names the node of the place */
    TOPOLOGY_ZONE_HINTS = 1 << 4,
    TOPOLOGY_ZONE_HINT_HERE = 1 << 5,
    TOPOLOGY_HINTS = TOPOLOGY_NODE_HINTS | TOPOLOGY_ZONE_HINTS,
};

/* Reads an endpoint of an EndpointSlice; replaces what is in ret. */
void topology_read(const json_t *endpoint, struct buf *ret);
/* Flags of enum topology_answer. */
unsigned topology_ask(struct str topology, const struct place *p);
/* What the endpoint says of its own; NULL: nothing. */
const char *topology_node(struct str topology);
const char *topology_zone(struct str topology);
