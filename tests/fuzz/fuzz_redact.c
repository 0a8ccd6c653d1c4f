/* Logs and dumps: whatever stands in them, nothing is read beyond their end, and what was taken out
 * once leaves nothing to take out again. As JSON, too. fuzz-layer: codec */
#include <stdlib.h>

#include "base/mem.h"
#include "codec/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_DONE(buf) struct buf once = {0};
    AUTO_DONE(buf) struct buf twice = {0};
    AUTO_JSON json_t *j = NULL;
    size_t count = redact_text(str_of(data, size), &once);
    IGNORE_RESULT(redact_text(buf_str(&once), &twice));
    if (!once.failed && !twice.failed && count == 0 &&
        (once.n != size || (size && memcmp(once.p, data, size) != 0)))
        abort(); /* nothing found: nothing changed */
    if (json_parse(str_of(data, size), 0, NULL, &j, NULL) == 0) {
        (void)redact_json(j);
        if (redact_json(j) > size)
            abort();
    }
    return 0;
}
