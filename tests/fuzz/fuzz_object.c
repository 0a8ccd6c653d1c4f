/* Objects as they come in: JSON or YAML text, decoded, defaulted and validated as each of the big
 * kinds. fuzz-layer: kube */
#include "codec/yaml.h"
#include "kube/kind_rules.h"
#include "kube/schema_tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    const struct schema *schema;
    void (*set_defaults)(json_t *object);
    void (*validate)(const json_t *object, const json_t *old, struct field_errors *e);
} kinds[] = {
    {&schema_pod, default_pod, validate_pod},
    {&schema_service, default_service, validate_service},
    {&schema_deployment, default_pod_template, validate_deployment},
    {&schema_endpoint_slice, default_endpointslice, validate_endpointslice},
    {&schema_secret, default_secret, validate_secret},
    {&schema_endpoints, NULL, validate_endpoints},
    {&schema_node, NULL, validate_node},
    {&schema_event, NULL, validate_event},
};

static void ignore(void *user, const char *text)
{
    (void)user;
    (void)text;
}

static void take_in(size_t kind, json_t *object)
{
    struct schema_findings findings = {0};
    struct field_errors errors = {0};
    struct err err = {0};
    AUTO_DONE(buf) struct buf text = {0};
    if (schema_decode(kinds[kind].schema, object, &findings, &err) == 0) {
        schema_default(kinds[kind].schema, object);
        if (kinds[kind].set_defaults)
            kinds[kind].set_defaults(object);
        validate_metadata(NAME_SUBDOMAIN, object, NULL, &errors);
        schema_validate(kinds[kind].schema, object, &errors);
        kinds[kind].validate(object, NULL, &errors);
        kinds[kind].validate(object, object, &errors);
        validate_service_addresses(json_object_get(object, "spec"), NULL, &errors);
        warn_of_object(object, false, ignore, NULL);
        warn_of_object(object, true, ignore, NULL);
        field_errors_format(&errors, &text);
    }
    schema_findings_done(&findings);
    field_errors_done(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_of(data, size);
    char duplicate[128];
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        json_t *object = NULL;
        if (json_parse(text, 0, duplicate, &object, NULL) < 0 &&
            yaml_parse(text, &object, NULL) < 0)
            return 0;
        if (json_is_object(object))
            take_in(i, object);
        json_decref(object);
    }
    return 0;
}
