#pragma once
/* What tests can do to the fake backend: look while a thread applies, hold it, make it fail. All of
 * it may be called from another thread than the one that owns the backend. */

#include "dataplane/dataplane.h"

struct dataplane *fake_dataplane_new(void);
/* apply() waits inside until it is let go again. */
void fake_dataplane_hold(struct dataplane *d, bool hold);
/* The next n calls of apply() and repair() fail; what they were given is kept for a later one. */
void fake_dataplane_fail(struct dataplane *d, unsigned n);
/* As if somebody else had changed an element: the next repair() puts it right. */
void fake_dataplane_tamper(struct dataplane *d);
/* How often settle() was called. */
unsigned fake_dataplane_settles(struct dataplane *d);
/* Addresses of a list, a line each, sorted. */
void fake_dataplane_dump_list(struct dataplane *d, enum dataplane_list list, struct buf *out);
/* The networks told last, a line each. */
void fake_dataplane_dump_networks(struct dataplane *d, struct buf *out);
