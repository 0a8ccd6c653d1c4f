#pragma once
/* Services whose selectors take in WorkloadEntries: each entry of the namespace that has all the
 * labels is an endpoint beside the Service's pods. Said again as EndpointSlices, so that everything
 * that knows those knows it. Headless Services are left alone, as by Istio. */

#include "model/istio_object.h"
#include "model/service_join.h"

struct workload_entry {
    struct istio_object o;
};

struct service_selectors;

/* Both must outlive it. */
struct service_selectors *service_selectors_new(struct service_join *join, struct workloads *pods);
void service_selectors_free(struct service_selectors *t); /* NULL is allowed; takes nothing back */
/* A Service as the API server tells of it. */
void service_selectors_put(struct service_selectors *t, const json_t *service);
void service_selectors_remove(struct service_selectors *t, struct str key);
/* The WorkloadEntry of that workload has come, changed or gone: told of what it was, and of what it
 * is. True: some Service selects it. */
bool service_selectors_entry_changed(struct service_selectors *t, const struct workload *w);
/* All of them may have. */
void service_selectors_all_changed(struct service_selectors *t);
/* entries: key -> struct workload_entry. True: something was done. */
bool service_selectors_settle(struct service_selectors *t, const struct map *entries);

/* Where an entry (spec) serves a port of a Service: what its ports say by the target's name, else
 * by the port's; else the target's number. 0: nowhere. */
uint16_t service_selectors_target(const json_t *spec, const char *port, const char *target,
                                  uint16_t number);
