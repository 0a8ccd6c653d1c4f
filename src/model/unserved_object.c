/* A row a kind. */
#include "model/unserved_object.h"

enum { PORT_MAX = 65535 };

/* ---- WorkloadGroup ---- */

static void read_labels(struct object_reader *r, const json_t *of)
{
    const json_t *labels = json_object_get(of, "labels");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        size_t mark = reader_enter_key(r, "labels", key);
        if (!*key || !json_is_string(value))
            reader_error(r, NULL, NULL, "is no label");
        reader_leave(r, mark);
    }
}

static void read_template(struct object_reader *r, const json_t *spec)
{
    const json_t *template = json_object_get(spec, "template");
    int64_t weight = 0;
    size_t mark = reader_enter(r, "template");
    if (!json_is_object(template))
        reader_error(r, NULL, "say what its WorkloadEntries are to begin with", "is missing");
    if (!str_empty(json_key_str(template, "address")))
        reader_warn(r, "address", "leave it out", "has no effect: each workload has its own");
    read_labels(r, template);
    (void)reader_number(r, template, "weight", 0, UINT32_MAX, &weight);
    reader_leave(r, mark);
}

/* One way to ask, of four. */
static void read_probe(struct object_reader *r, const json_t *probe)
{
    static const char *const ways[] = {"httpGet", "tcpSocket", "exec", "grpc"},
                             *const times[] = {"initialDelaySeconds", "timeoutSeconds",
                                               "periodSeconds", "successThreshold",
                                               "failureThreshold"};
    size_t n = 0, mark = reader_enter(r, "probe");
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        int64_t value = 0;
        (void)reader_number(r, probe, times[i], 0, INT32_MAX, &value);
    }
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        const json_t *way = json_object_get(probe, ways[i]);
        int64_t port = 0;
        if (!way || json_is_null(way))
            continue;
        n++;
        size_t part = reader_enter(r, ways[i]);
        if (streq(ways[i], "exec") && !json_array_size(json_object_get(way, "command")))
            reader_error(r, "command", NULL, "is missing");
        else if (!streq(ways[i], "exec") && reader_number(r, way, "port", 1, PORT_MAX, &port) &&
                 !port && !streq(ways[i], "grpc"))
            reader_error(r, "port", NULL, "is missing");
        reader_leave(r, part);
    }
    if (n != 1)
        reader_error(r, NULL, "say one of httpGet, tcpSocket, exec, grpc", "names %s to ask by",
                     n ? "several ways" : "no way");
    reader_leave(r, mark);
}

static void read_group(struct object_reader *r, const json_t *spec)
{
    const json_t *probe = json_object_get(spec, "probe");
    size_t mark = reader_enter(r, "metadata");
    read_labels(r, json_object_get(spec, "metadata"));
    reader_leave(r, mark);
    read_template(r, spec);
    if (json_is_object(probe))
        read_probe(r, probe);
}

/* ---- the table ---- */

static const struct row {
    const char *kind, *group, *hint;
    const char *id;                                            /* of what cannot be read in it */
    void (*read)(struct object_reader *r, const json_t *spec); /* NULL: nobody reads it */
} rows[] = {
    {"EnvoyFilter", "networking.istio.io/",
     "say it by a VirtualService, DestinationRule, Sidecar or Telemetry", NULL, NULL},
    {"WasmPlugin", "extensions.istio.io/",
     "let a service do it: AuthorizationPolicy CUSTOM, or a route to it", NULL, NULL},
    {"WorkloadGroup", "networking.istio.io/", NULL, "WorkloadGroupInvalid", read_group},
};

static const struct row *find(const char *kind, const char *version)
{
    for (size_t i = 0; kind && version && i < ARRAY_LEN(rows); i++)
        if (streq(kind, rows[i].kind) && str_starts(str_from(version), str_from(rows[i].group)))
            return &rows[i];
    return NULL;
}

bool unserved_kind(const char *kind, const char *version)
{
    return find(kind, version) != NULL;
}

struct unserved_object *unserved_object_decode(const json_t *object, const char *kind,
                                               const char *version)
{
    const struct row *row = find(kind, version);
    struct unserved_object *u = row ? NEW(struct unserved_object) : NULL;
    if (!u || !istio_object_decode(object, &u->o)) {
        unserved_object_free(u);
        return NULL;
    }
    AUTO_DONE(object_reader)
    struct object_reader r = {.findings = &u->o.findings, .object = u->o.key, .id = row->id};
    size_t mark = reader_enter(&r, "spec");
    if (row->read)
        row->read(&r, u->o.spec);
    reader_leave(&r, mark);
    if (!row->read) /* nobody reads it, nobody heeds it */
        finding_add(&u->o.findings, FINDING_WARNING, "KindNotServed", u->o.key, "spec", row->hint,
                    "%s %s has no effect here", *row->kind == 'E' ? "an" : "a", row->kind);
    return u;
}

void unserved_object_free(struct unserved_object *u)
{
    if (u)
        istio_object_done(&u->o);
    free(u);
}
