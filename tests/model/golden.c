/* Prints the model of every Service of a manifest (Services, EndpointSlices) in its golden form, as
 * node n1 of zone z1 sees it; fails if another order of the slices gives another one. */
#include <errno.h>
#include <stdio.h>

#include "base/rand.h"
#include "base/vec.h"
#include "kube/manifest.h"
#include "model/service.h"

enum { ORDERS = 20 };

struct input {
    VEC(struct service_object *) services;
    VEC(struct slice_object *) slices;
};

static void input_done(struct input *in)
{
    VEC_FOREACH (service, &in->services)
        service_object_free(*service);
    VEC_FOREACH (slice, &in->slices)
        slice_object_free(*slice);
    vec_done(&in->services);
    vec_done(&in->slices);
}

static int input_read(const char *path, struct input *ret, struct err *reterr)
{
    const struct slice_place here = {"n1", "z1"};
    AUTO_JSON json_t *objects = json_array();
    json_t *object;
    size_t i;
    int r = manifest_read(path, objects, reterr);
    if (r < 0)
        return r;
    json_array_foreach(objects, i, object)
    {
        struct service_object *service = NULL;
        struct slice_object *slice = NULL;
        if (streq(json_key_str(object, "kind"), "Service"))
            service = service_object_decode(object);
        else
            slice = slice_object_decode(object, &here);
        if (service)
            vec_push(&ret->services, service);
        else if (slice)
            vec_push(&ret->slices, slice);
        else
            return err_set(reterr, -EINVAL, NULL, "%s: \"%s\" is nothing the model reads", path,
                           json_at_str(object, "metadata.name"));
    }
    return ret->services.n ? 0 : err_set(reterr, -EINVAL, NULL, "%s: no Service", path);
}

/* The slices of one Service, in whatever order they stand. */
static void service_model(const struct service_object *s, const struct input *in, struct buf *out)
{
    VEC(const struct slice_object *) mine = {0};
    VEC_FOREACH (slice, &in->slices)
        if (streq((*slice)->service_key, s->key))
            vec_push(&mine, *slice);
    struct model_service *m = model_service_new(s, mine.v, mine.n);
    if (m)
        model_service_format(m, out);
    else
        buf_addf(out, "service %s: nothing to carry\n", s->key);
    model_service_unref(m);
    vec_done(&mine);
}

static void shuffle(struct input *in)
{
    for (size_t i = in->slices.n; i > 1; i--) {
        size_t k = rand_below(i);
        struct slice_object *x = in->slices.v[k];
        in->slices.v[k] = in->slices.v[i - 1];
        in->slices.v[i - 1] = x;
    }
}

int main(int argc, char **argv)
{
    AUTO_DONE(input) struct input in = {0};
    AUTO_DONE(buf) struct buf first = {0};
    struct err err = {0};
    if (argc != 2 || input_read(argv[1], &in, &err) < 0) {
        fprintf(stderr, "%s\n", argc == 2 ? err_text(&err) : "usage: golden FILE");
        return EXIT_FAILURE;
    }
    for (int i = 0; i < ORDERS; i++) {
        AUTO_DONE(buf) struct buf b = {0};
        shuffle(&in);
        VEC_FOREACH (s, &in.services)
            service_model(*s, &in, i ? &b : &first);
        if (i && !str_eq(buf_str(&b), buf_str(&first))) {
            fprintf(stderr, "the order of slices matters:\n%s---\n%s", buf_cstr(&first),
                    buf_cstr(&b));
            return EXIT_FAILURE;
        }
    }
    fputs(buf_cstr(&first), stdout);
    return EXIT_SUCCESS;
}
