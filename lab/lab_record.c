/* lab.json. A malformed file is an error that names it; nothing is guessed. */
#include "lab/lab_record.h"

#include <errno.h>

void lab_record_done(struct lab_record *r)
{
    free(r->name);
    VEC_FOREACH (n, &r->nodes) {
        free(n->name);
        free(n->labels);
    }
    VEC_FOREACH (i, &r->images)
        free(*i);
    vec_done(&r->nodes);
    vec_done(&r->images);
    free(r->service_cidrs);
    free(r->node_ports);
    *r = (struct lab_record){0};
}

int lab_record_write(const struct state_dir *d, const struct lab_record *r, struct err *reterr)
{
    AUTO_DONE(buf) struct buf text = {0};
    json_t *nodes = json_array(), *images = json_array();
    VEC_FOREACH (n, &r->nodes)
        json_array_append_new(nodes, json_pack("{s:s,s:s}", "name", n->name, "labels", n->labels));
    VEC_FOREACH (i, &r->images)
        json_array_append_new(images, json_string(*i));
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:o,s:o,s:o,s:b,s:s,s:s}", "name", r->name, "plan",
                  fabric_plan_to_json(&r->plan), "nodes", nodes, "images", images, "ephemeral",
                  r->ephemeral, "serviceCIDRs", r->service_cidrs, "nodePorts", r->node_ports);
    json_write_indented(&text, j);
    return state_dir_write(d, "lab.json", buf_str(&text), reterr);
}

int lab_record_read(const struct state_dir *d, struct lab_record *ret, struct err *reterr)
{
    AUTO_DONE(buf) struct buf text = {0};
    AUTO_JSON json_t *j = NULL;
    json_t *item;
    size_t i;
    int r = state_dir_read(d, "lab.json", &text, reterr);
    if (r == 0)
        r = json_parse(buf_str(&text), 0, NULL, &j, reterr);
    const char *name = json_key_str(j, "name"), *cidrs = json_key_str(j, "serviceCIDRs"),
               *ports = json_key_str(j, "nodePorts");
    if (r == 0 && (!name || !cidrs || !ports))
        r = err_set(reterr, -EINVAL, NULL,
                    "%s/lab.json: name, serviceCIDRs or nodePorts is missing", d->path);
    if (r == 0)
        r = fabric_plan_from_json(json_object_get(j, "plan"), &ret->plan, reterr);
    if (r < 0)
        return r;
    ret->name = xstrdup(name);
    ret->service_cidrs = xstrdup(cidrs);
    ret->node_ports = xstrdup(ports);
    ret->ephemeral = json_is_true(json_object_get(j, "ephemeral"));
    json_array_foreach(json_object_get(j, "nodes"), i, item)
    {
        const char *node = json_key_str(item, "name"), *labels = json_key_str(item, "labels");
        if (node)
            vec_push(&ret->nodes, (struct lab_node){xstrdup(node), xstrdup(labels ? labels : "")});
    }
    json_array_foreach(json_object_get(j, "images"), i, item) if (json_is_string(item))
        vec_push(&ret->images, xstrdup(json_string_value(item)));
    return 0;
}
