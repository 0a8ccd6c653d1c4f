#pragma once
/* Listener filters: what is looked at in the first bytes of a connection, without taking them, and
 * what the kernel knows of it. No loop: whoever waits calls again when more has come. */

#include "net/conn.h"
#include "proxy/listener_config.h"

enum { INSPECT_NAME_BYTES = 255, INSPECT_PROTOCOLS_BYTES = 512 };

struct inspect_facts {
    struct conn_names names; /* what replaces the socket's own addresses */
    bool restored;           /* names.local is the original destination */
    bool tls;
    uint8_t next; /* filter */
    uint8_t server_name_n;
    uint16_t protocols_n;
    char server_name[INSPECT_NAME_BYTES]; /* lower case */
    char protocols[INSPECT_PROTOCOLS_BYTES];
};

/* Runs the filters from f->next on. 0: all have run; -EAGAIN: more is needed; else the connection
 * is to be closed: -EPROTO (PROXY protocol), -E2BIG (ClientHello), -ECONNRESET (it has ended). */
int inspect_run(int fd, const struct listener_config *l, struct inspect_facts *f) NODISCARD;
