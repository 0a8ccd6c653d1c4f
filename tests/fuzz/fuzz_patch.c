/* Patches of all three kinds on a deployment, and the three-way patch to and from it. The input is
 * the patch, or the other manifest.
 * fuzz-layer: kube */
#include "kube/patch.h"
#include "kube/schema_tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *document(void)
{
    return json_loads("{\"metadata\":{\"name\":\"d\",\"finalizers\":[\"a\",\"b\"]},\"spec\":{"
                      "\"strategy\":{\"type\":\"x\"},"
                      "\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":"
                      "\"A\"}]},{\"name\":\"b\"}]}}}}",
                      0, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON json_t *patch = NULL;
    if (json_parse(str_of(data, size), 0, NULL, &patch, NULL) < 0)
        return 0;
    json_t *object = document();
    if (patch_apply_json(&object, patch, NULL) == 0 && json_is_object(object))
        (void)!schema_decode(&schema_deployment, object, NULL, NULL);
    json_decref(object);
    object = document();
    if (patch_apply_strategic(&schema_deployment, object, patch, NULL) == 0)
        (void)!schema_decode(&schema_deployment, object, NULL, NULL);
    json_decref(object);
    if (!json_is_object(patch))
        return 0;
    object = document();
    json_decref(patch_three_way(&schema_deployment, patch, object, object));
    json_decref(patch_three_way(&schema_deployment, object, patch, object));
    json_decref(patch_three_way(NULL, object, patch, object));
    patch_apply_merge(object, patch);
    json_decref(object);
    return 0;
}
