/* Protobuf bodies: the envelope, then the message as each kind, then decoding as if it had come as
 * JSON. fuzz-layer: kube */
#include "kube/pbobject.h"
#include "kube/schema_tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct schema *const kinds[] = {
        &schema_pod,    &schema_service,        &schema_deployment,
        &schema_secret, &schema_delete_options, &schema_event};
    char api_version[256], kind[256];
    struct str raw;
    if (pb_object_open(str_of(data, size), api_version, kind, &raw, NULL) < 0)
        raw = str_of(data, size);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        AUTO_JSON json_t *object = NULL;
        if (pb_object_decode(kinds[i], raw, &object, NULL) == 0 &&
            schema_decode(kinds[i], object, NULL, NULL) == 0)
            schema_default(kinds[i], object);
    }
    return 0;
}
