#pragma once
/* All ServiceEntries and WorkloadEntries: what they add to the join of Services and to the table of
 * workloads, and whose a host is for whom. */

#include "model/service_entry.h"
#include "model/service_join.h"

struct service_entries;

/* Both must outlive it. */
struct service_entries *service_entries_new(struct service_join *join, struct workloads *pods);
void service_entries_free(struct service_entries *t); /* NULL is allowed; takes nothing back */
/* Takes the entry, in place of one of its name. */
void service_entries_put(struct service_entries *t, struct service_entry *e);
void service_entries_remove(struct service_entries *t, struct str key);
/* NULL: there is none. */
const struct service_entry *service_entries_find(const struct service_entries *t, struct str key);

/* A WorkloadEntry as the API server tells of it: what is wrong is told there (may be NULL). */
struct workload_entry;
const struct istio_object *service_entries_put_workload(struct service_entries *t,
                                                        const json_t *object);
void service_entries_remove_workload(struct service_entries *t, struct str key);
/* A pod or a WorkloadEntry has come, changed or gone: told of what it was, and of what it is. True:
 * some entry, or some Service, selects it. */
bool service_entries_workload_changed(struct service_entries *t, const struct workload *w);
/* All pods may have changed. */
void service_entries_workloads_changed(struct service_entries *t);
/* Endpoints of who selects those. True: something was done. */
bool service_entries_settle(struct service_entries *t);

/* A Service of our own as the API server tells of it: WorkloadEntries that it selects are its
 * endpoints. */
void service_entries_put_service(struct service_entries *t, const json_t *service);
void service_entries_remove_service(struct service_entries *t, struct str key);
/* A Service has come or gone: of an entry whose host is its short name ("web.ns") it takes the
 * place. */
void service_entries_service_changed(struct service_entries *t, const char *key);

/* The key of the entry that has a host at a port for clients of a namespace ("": of any): one of
 * that namespace, else the oldest that they see. port 0: at any. NULL: none. Owned. */
char *service_entries_resolve(const struct service_entries *t, const char *host, uint16_t port,
                              struct str ns);
/* Is that one it? */
bool service_entries_is_served(const struct service_entries *t, const char *key, uint16_t port,
                               struct str ns);
/* Is it another one for others? */
bool service_entries_varies(const struct service_entries *t, const char *host);
/* The namespace of the only one; empty: there are more, or none. */
struct str service_entries_namespace(const struct service_entries *t, const char *host);
/* Another number after each change of a host's entries. */
unsigned service_entries_generation(const struct service_entries *t, const char *host);
/* for (size_t at = 0; (key = service_entries_next(t, host, &at));) : the keys of a host; owned. */
char *service_entries_next(const struct service_entries *t, const char *host, size_t *at);
