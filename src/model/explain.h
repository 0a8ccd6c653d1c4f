#pragma once
/* Which route of the model decides about a request, and why those before it did not: the same
 * questions in the same order as the proxy asks them. Pure. */

#include "model/route.h"

struct explain_header {
    struct str name, value;
};

struct explain_request {
    struct str method;
    struct str host; /* without a port */
    struct str path; /* in its normal form, without the query */
    bool tls;
    const struct explain_header *headers;
    size_t n_headers;
};

struct explain_step {
    const struct route *route;
    bool matches;
    char *why; /* what is asked for and not so; of the one that matches: "" */
};

struct explanation {
    struct explain_step *v; /* up to the one that decided */
    size_t n, cap;
    const struct route *decided; /* NULL: none: 404 */
    bool to_https;               /* it sends the client to https first */
};

/* The names under which a host's rules may stand, the first to be asked for first: itself, "*." and
 * what follows its first label, "*". n: 0, 1, 2; NULL behind the last. The caller frees. */
char *explain_host_name(struct str host, size_t n);
/* Values of one name as one (also :method, :authority); NULL: there is none. The caller frees. */
char *explain_header_of(const struct explain_request *q, const char *name);
/* path: in its normal form, without the query. */
bool explain_path_matches(const struct route_path *p, struct str path);
/* h and q must outlive what is returned. */
void explain_route(const struct route_host *h, const struct explain_request *q,
                   struct explanation *ret);
void explanation_done(struct explanation *e);
/* "prefix /x", "-> default/web:80", as text. */
void explain_match_text(const struct route *r, struct buf *out);
void explain_action_text(const struct route *r, struct buf *out);
