/* Prints the model of every Service of a manifest (Services, EndpointSlices) in its golden form, as
 * node n1 of zone z1 sees it; fails if another order in which the objects come gives another one,
 * with versions that were replaced and objects that went and came back on the way. */
#include <errno.h>
#include <stdio.h>

#include "base/rand.h"
#include "kube/manifest.h"
#include "model/service.h"
#include "model/service_join.h"

enum { ORDERS = 20 };

static void join_add(struct service_join *j, const json_t *object)
{
    if (streq(json_key_str(object, "kind"), "Service")) {
        struct service_object *service = service_object_decode(object);
        if (service)
            service_join_add_service(j, &service);
    } else {
        const struct slice_decoding o = {.topologies = &j->topologies, .all = rand_below(2)};
        struct slice_object *slice = slice_object_decode(object, &o);
        if (slice)
            service_join_add_slice(j, &slice);
    }
}

static void join_remove(struct service_join *j, const json_t *object)
{
    AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(object, "metadata.namespace"),
                                     json_at_str(object, "metadata.name"));
    if (streq(json_key_str(object, "kind"), "Service"))
        service_join_remove_service(j, str_from(key));
    else
        service_join_remove_slice(j, str_from(key));
}

/* An older version of the object: of another Service, if it is a slice, and empty. */
static void join_add_older(struct service_join *j, const json_t *object)
{
    AUTO_JSON json_t *older = json_deep_copy(object);
    json_object_del(older, "endpoints");
    json_del(older, "spec.ports");
    if (json_at(older, "metadata.labels"))
        json_object_set_new(json_at(older, "metadata.labels"), "kubernetes.io/service-name",
                            json_string("other"));
    join_add(j, older);
}

static void settle(struct service_join *j)
{
    struct joined_service *s;
    while ((s = service_join_take_dirty(j)))
        service_join_settle(j, s);
}

/* In any order, some of them by detours. */
static struct service_join *join_all(const json_t *objects)
{
    struct service_join *j = service_join_new();
    AUTO_JSON json_t *rest = json_copy((json_t *)(uintptr_t)objects);
    while (json_array_size(rest)) {
        size_t i = rand_below(json_array_size(rest));
        const json_t *object = json_array_get(rest, i);
        unsigned detour = (unsigned)rand_below(4);
        if (detour & 1)
            join_add_older(j, object);
        if (detour & 2)
            join_remove(j, object);
        if (rand_below(2))
            settle(j);
        join_add(j, object);
        json_array_remove(rest, i);
    }
    return j;
}

static void joined_format(struct service_join *j, const json_t *objects, struct buf *out)
{
    static const struct place here = {"n1", "z1"};
    const json_t *object;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)objects, i, object)
    {
        AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(object, "metadata.namespace"),
                                         json_at_str(object, "metadata.name"));
        const struct joined_service *s = service_join_find(j, key);
        if (!streq(json_key_str(object, "kind"), "Service") || !s || !s->object)
            continue;
        struct model_service *m = model_service_new(
            s->object, (const struct slice_object *const *)s->slices.v, s->slices.n, &here);
        if (m)
            model_service_format(m, out);
        else
            buf_addf(out, "service %s: nothing to carry\n", key);
        model_service_unref(m);
    }
}

int main(int argc, char **argv)
{
    AUTO_JSON json_t *objects = json_array();
    AUTO_DONE(buf) struct buf first = {0};
    struct err err = {0};
    if (argc != 2 || manifest_read(argv[1], objects, &err) < 0) {
        fprintf(stderr, "%s\n", argc == 2 ? err_text(&err) : "usage: golden FILE");
        return EXIT_FAILURE;
    }
    for (int i = 0; i < ORDERS; i++) {
        AUTO_DONE(buf) struct buf b = {0};
        struct service_join *j = join_all(objects);
        joined_format(j, objects, i ? &b : &first);
        service_join_free(j);
        if (i && !str_eq(buf_str(&b), buf_str(&first))) {
            fprintf(stderr, "the order of objects matters:\n%s---\n%s", buf_cstr(&first),
                    buf_cstr(&b));
            return EXIT_FAILURE;
        }
    }
    fputs(buf_cstr(&first), stdout);
    return EXIT_SUCCESS;
}
