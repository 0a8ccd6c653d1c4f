/* OpenAPI definitions, as CustomResourceDefinitions will bring them; what is read decodes an
 * object. fuzz-layer: kube */
#include "kube/schema_openapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON json_t *definitions = NULL;
    struct schema_book book;
    if (json_parse(str_of(data, size), 64 * 1024, NULL, &definitions, NULL) < 0)
        return 0;
    schema_book_init(&book, 1024 * 1024);
    if (schema_book_add(&book, definitions, NULL) == 0) {
        const struct schema *s = schema_book_find(&book, "A");
        AUTO_JSON json_t *object = json_deep_copy(definitions);
        if (s && schema_decode(s, object, NULL, NULL) == 0)
            schema_default(s, object);
    }
    schema_book_done(&book);
    return 0;
}
