#include "proxy/metadata.h"

#include "base/buf.h"
#include "proxy/peer.h"

typedef Envoy__Config__Core__V3__Metadata pb_metadata;
typedef Google__Protobuf__Struct pb_struct;
typedef Google__Protobuf__Value pb_value_of;

const pb_struct *metadata_find(const pb_metadata *m, const char *name)
{
    for (size_t i = 0; m && i < m->n_filter_metadata; i++)
        if (streq(m->filter_metadata[i]->key, name))
            return m->filter_metadata[i]->value;
    return NULL;
}

const pb_value_of *metadata_value(const pb_struct *s, const char *key)
{
    for (size_t i = 0; s && i < s->n_fields; i++)
        if (streq(s->fields[i]->key, key))
            return s->fields[i]->value;
    return NULL;
}

struct str metadata_text(const pb_struct *s, const char *key)
{
    const pb_value_of *v = metadata_value(s, key);
    return v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE
               ? str_from(v->string_value)
               : (struct str){0};
}

bool metadata_is_true(const pb_struct *s, const char *key)
{
    const pb_value_of *v = metadata_value(s, key);
    return v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE && v->bool_value;
}

const char *metadata_workload(const pb_metadata *m)
{
    return label_text(metadata_text(metadata_find(m, "istio"), "workload"));
}

/* Where what is told of it is not what an operator named. */
static bool goes_on_as_it_is(const char *cluster)
{
    static const char *const names[] = {"BlackHoleCluster", "PassthroughCluster",
                                        "InboundPassthroughCluster"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (streq(cluster, names[i]))
            return true;
    return false;
}

const char *metadata_service(const pb_metadata *m, const char *cluster)
{
    const pb_value_of *services = metadata_value(metadata_find(m, "istio"), "services");
    AUTO_DONE(buf) struct buf text = {0};
    if (goes_on_as_it_is(cluster)) {
        buf_addf(&text, ";%s;", cluster);
        return label_text(buf_str(&text));
    }
    if (!services || services->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE ||
        !services->list_value->n_values)
        return NULL;
    const pb_value_of *first = services->list_value->values[0];
    if (first->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        return NULL;
    struct str host = metadata_text(first->struct_value, "host"),
               name = metadata_text(first->struct_value, "name"),
               ns = metadata_text(first->struct_value, "namespace"), rest;
    if (!name.p)
        name = str_cut(host, '.', &rest);
    buf_addf(&text, STR_FMT ";" STR_FMT ";" STR_FMT, STR_ARG(host), STR_ARG(name), STR_ARG(ns));
    return label_text(buf_str(&text));
}
