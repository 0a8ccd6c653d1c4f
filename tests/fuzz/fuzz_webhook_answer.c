/* What a webhook says, whose uid is "u": of a mutating and of a validating one. An answer that is
 * taken has a patch that is a list, or none; a patch is tried on an object as the server does.
 * fuzz-layer: lab */
#include <stdlib.h>

#include "lab/apiserver/webhook_review.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one(struct str body, bool mutating)
{
    struct webhook_answer a;
    struct err err = {0};
    if (webhook_answer_read(body, "u", mutating, &a, &err) < 0) {
        if (!*err_text(&err))
            abort();
        return;
    }
    if (a.patch && (!mutating || !json_array_size(a.patch)))
        abort();
    AUTO_JSON json_t *object =
        json_pack("{s:{s:s},s:{s:[i,i]}}", "metadata", "name", "a", "data", "list", 1, 2);
    if (a.patch && api_patch_json(&object, a.patch, &err) < 0 && !*err_text(&err))
        abort();
    webhook_answer_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct str body = {(const char *)data, size};
    one(body, true);
    one(body, false);
    return 0;
}
