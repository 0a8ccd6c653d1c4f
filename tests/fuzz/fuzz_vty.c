/* fuzz-layer: codec
 * What stands on a vty socket: an answer that is taken for whole ends as it should, whatever comes
 * before. */
#include <stdlib.h>

#include "codec/vty.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vty_reply reply, again;
    int r = vty_reply_parse(str_of(data, size), &reply);
    if (r <= 0)
        return 0;
    if (reply.bytes > size || reply.text.n + 4 != reply.bytes ||
        memchr(reply.text.p, 0, reply.text.n))
        abort();
    /* Less of it is not whole. */
    if (vty_reply_parse(str_of(data, reply.bytes - 1), &again) != 0)
        abort();
    (void)vty_is_word(reply.text);
    return 0;
}
