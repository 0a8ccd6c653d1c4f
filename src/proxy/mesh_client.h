#pragma once
/* Who is at the two ends of a connection, for metrics: by address, and by certificate. */

#include "net/conn.h"
#include "proxy/peer.h"

/* A client's connection, as its requests are counted. Zeroed: nothing is known. */
struct mesh_client {
    struct peer_slot *slot;
    const char *principal; /* spiffe://... of its certificate, without the scheme; NULL: none */
    const char *own;       /* ours */
};
/* c is open. */
void mesh_client_init(struct mesh_client *m, const struct conn *c);
void mesh_client_done(struct mesh_client *m);

/* A connection to an endpoint is open: whom its certificate says it to be is the label_text() that
 * is stored; of plain text NULL. */
void mesh_note_principal(_Atomic(const char *) *to, struct tls_session *tls);
/* As we last showed ourselves to an endpoint: a label_text(); NULL: never. */
const char *mesh_ourselves(void);
