#pragma once
/* What this proxy tells its control plane of its own traffic (fairlead.telemetry.v1): each second
 * what has changed, single requests while somebody watches, spans. Main thread.
 *
 * Failure modes: a control plane that is away costs nothing but a try now and then (at most 30 s
 * apart), and what has been counted meanwhile is not told later; one that does not read is told
 * when it has; one that does not know of this (Istio's) is asked again as if it were away. Requests
 * are never held up. */

#include "proxy/store.h"

struct telemetry;

struct telemetry_options {
    const char *cluster;    /* the control plane's */
    const char *node;       /* who we are, as in xDS */
    const char *token_file; /* read for each call */
};

/* Begins soon. All are copied, but for the store. */
struct telemetry *telemetry_new(struct loop *l, struct store *s, const struct telemetry_options *o);
void telemetry_free(struct telemetry *t); /* NULL is allowed; behind the workers */
/* Spans for the control plane: a list, as Zipkin's JSON. False: nobody is there, or does not read,
 * or it is too much at once.
 */
bool telemetry_take_spans(struct str spans, void *user);
