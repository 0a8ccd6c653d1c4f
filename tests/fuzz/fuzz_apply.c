/* A configuration applied to an object: {"live": …, "config": …, "managed": [managedFields]}, as a
 * Deployment and as an object of a schema with every sort of list. Sets of fields are written as
 * they were read; what has been applied by force is there, and applying it again changes nothing.
 * fuzz-layer: lab */
#include <stdlib.h>

#include "codec/yaml.h"
#include "kube/schema_tables.h"
#include "lab/apiserver/apply_managers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_without_faults(void);

/* What the server wrote itself it reads, or ends. */
void fuzz_without_faults(void)
{
}

static const char schema_text[] =
    "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{"
    "\"map\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\","
    "\"x-kubernetes-list-map-keys\":[\"name\",\"port\"],\"items\":{\"type\":\"object\","
    "\"properties\":{\"name\":{\"type\":\"string\"},\"port\":{\"type\":\"integer\",\"default\":80},"
    "\"v\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\"}}}}},"
    "\"set\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"set\",\"items\":{\"type\":\"string\"}"
    "},"
    "\"list\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},"
    "\"atomic\":{\"type\":\"object\",\"x-kubernetes-map-type\":\"atomic\"},"
    "\"any\":{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}}}";

static void round_trip(const struct apply_managers *m)
{
    for (size_t i = 0; i < m->n; i++) {
        AUTO_DONE(buf) struct buf text = {0};
        AUTO_JSON json_t *j = NULL;
        AUTO_FIELDS struct fields *again = NULL;
        fields_write(&text, m->v[i].set);
        if (json_parse(buf_str(&text), 0, NULL, &j, NULL) < 0 || fields_parse(j, &again, NULL) < 0)
            abort();
        AUTO_FIELDS struct fields *left = fields_copy(m->v[i].set);
        fields_subtract(left, again);
        if (!fields_is_empty(left))
            abort();
    }
}

static void apply(const struct apply_type *t, const json_t *input)
{
    const struct apply_actor who = {"me", "v1", ""};
    struct apply_managers m = {0};
    struct apply_conflicts conflicts = {0};
    json_t *config = json_object_get(input, "config");
    AUTO_JSON json_t *live = json_deep_copy(json_object_get(input, "live"));
    if (!json_is_object(live) || !json_is_object(config) ||
        apply_managers_parse(json_object_get(input, "managed"), &m, NULL) < 0)
        return;
    round_trip(&m);
    if (apply_managers_apply(&m, t, &who, live, config, NULL, true, &conflicts, NULL) == 0) {
        AUTO_JSON json_t *once = json_deep_copy(live);
        apply_conflicts_done(&conflicts);
        if (apply_managers_apply(&m, t, &who, live, config, NULL, false, &conflicts, NULL) < 0 ||
            !json_equal(once, live) || conflicts.n)
            abort();
        apply_managers_update(&m, t, &who, live, json_object_get(input, "live"), "status");
        json_decref(apply_managers_format(&m));
    }
    apply_conflicts_done(&conflicts);
    apply_managers_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crd_schema *schema;
    AUTO_JSON json_t *input = NULL;
    if (!schema) {
        AUTO_JSON json_t *text = json_loads(schema_text, 0, NULL);
        if (crd_schema_read(text, &schema, NULL) < 0)
            abort();
    }
    if (yaml_parse(str_of(data, size), &input, NULL) < 0 || !json_is_object(input))
        return 0;
    const struct apply_type deployment = {.object = &schema_deployment, .always = true},
                            custom = {.node = schema->root, .root = true, .always = true};
    apply(&deployment, input);
    apply(&custom, input);
    return 0;
}
