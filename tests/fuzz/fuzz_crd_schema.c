/* A schema of a CustomResourceDefinition and an object under it: {"s": schema, "v": object, "p":
 * path of a column}. What has been pruned and defaulted is not changed by doing it again.
 * fuzz-layer: lab */
#include <stdlib.h>

#include "lab/apiserver/crd_check.h"
#include "lab/apiserver/custom_registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void settle(const struct crd_node *n, json_t *value)
{
    struct schema_findings findings = {0};
    crd_prune(n, value, true, &findings);
    crd_default(n, value);
    schema_findings_done(&findings);
}

static void use(const struct crd_schema *s, json_t *value)
{
    struct field_errors errors = {0};
    AUTO_JSON json_t *before = json_deep_copy(value);
    settle(s->root, value);
    AUTO_JSON json_t *once = json_deep_copy(value);
    settle(s->root, value);
    if (!json_equal(once, value))
        abort();
    crd_validate(s->root, value, NULL, "", &errors);
    crd_validate(s->root, value, before, "spec", &errors);
    field_errors_done(&errors);
    errors = (struct field_errors){0};
    crd_validate(s->root, value, value, "", &errors); /* nothing has changed */
    if (errors.n)
        abort();
    field_errors_done(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON json_t *input = NULL;
    struct field_errors errors = {0};
    struct crd_schema *schema = NULL;
    if (json_parse(str_of(data, size), 0, NULL, &input, NULL) < 0 || !json_is_object(input))
        return 0;
    json_t *s = json_object_get(input, "s"), *v = json_object_get(input, "v");
    const char *path = json_key_str(input, "p");
    if (path && v)
        json_decref(custom_path_find(path, v));
    if (!s)
        return 0;
    AUTO_JSON json_t *crd =
        json_pack("{s:{s:[{s:{s:O}}]}}", "spec", "versions", "schema", "openAPIV3Schema", s);
    decode_crd(crd, NULL);
    crd_check_schema(s, "spec.validation.openAPIV3Schema", true, &errors);
    bool structural = !errors.n;
    field_errors_done(&errors);
    if (structural && crd_schema_read(s, &schema, NULL) == 0 && v)
        use(schema, v);
    crd_schema_free(schema);
    return 0;
}
