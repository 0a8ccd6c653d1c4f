/* Two hosts a name, of which one counts. */
#include "model/route_hosts.h"

#include "base/mem.h"

struct doors {
    struct route_host *of[ROUTE_DOORS];
};

/* What nobody in particular makes (a default backend) gives way. */
static bool is_older(const struct route_host *a, const struct route_host *b)
{
    if (!a->owner.kind || !b->owner.kind)
        return a->owner.kind != NULL;
    if (a->since_s != b->since_s)
        return a->since_s < b->since_s;
    return strcmp(a->owner.object, b->owner.object) < 0;
}

static void tell(struct route_host *loser, const struct route_host *winner)
{
    for (size_t i = 0; i < loser->findings.n; i++) /* once */
        if (streq(loser->findings.v[i].id, "HostConflict") &&
            streq(loser->findings.v[i].object, loser->owner.object) &&
            streq(loser->findings.v[i].field, loser->owner.field))
            return;
    if (loser->owner.kind)
        finding_add(&loser->findings, FINDING_WARNING, "HostConflict", loser->owner.object,
                    loser->owner.field, "name the host in one of them",
                    "host %s is that of %s %s, too, which is older: that one is served",
                    loser->name, winner->owner.kind, winner->owner.object);
}

struct route_host *route_hosts_put(struct route_hosts *t, enum route_door door, const char *name,
                                   struct route_host *h, const struct route_host **ret_loser)
{
    struct doors *d = map_find_cstr(&t->names, name);
    *ret_loser = NULL;
    if (!d && !h)
        return NULL;
    if (!d) {
        d = NEW(struct doors);
        map_put_cstr(&t->names, name, d);
    }
    route_host_unref(d->of[door]);
    d->of[door] = h;
    struct route_host *a = d->of[ROUTE_DOOR_INGRESS], *b = d->of[ROUTE_DOOR_GATEWAY];
    if (a && b) {
        bool first = is_older(a, b);
        tell(first ? b : a, first ? a : b);
        *ret_loser = first ? b : a;
        return route_host_ref(first ? a : b);
    }
    if (!a && !b) {
        map_remove_cstr(&t->names, name);
        free(d);
        return NULL;
    }
    return route_host_ref(a ? a : b);
}

void route_hosts_done(struct route_hosts *t)
{
    void *value;
    for (size_t at = 0; map_next(&t->names, &at, NULL, &value);) {
        struct doors *d = value;
        for (unsigned door = 0; door < ROUTE_DOORS; door++)
            route_host_unref(d->of[door]);
        free(d);
    }
    map_done(&t->names);
}
