/* Values of labels: whatever stands there, it is a constant or one attribute, or told why not.
 * fuzz-layer: codec */
#include <stdlib.h>

#include "base/mem.h"
#include "codec/tag_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Small copies end the program for want of memory. */
void fuzz_without_faults(void);
void fuzz_without_faults(void)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_CHARS char *text = str_dup(str_of(data, size));
    struct tag_value v;
    struct err err = {0};
    if (tag_value_parse(text, &v, &err) < 0) {
        if (!err.code)
            abort();
        return 0;
    }
    if ((v.attribute == TAG_TEXT || v.attribute == TAG_FIELD) != (v.text != NULL))
        abort();
    tag_value_done(&v);
    (void)tag_name_is_valid(text);
    return 0;
}
