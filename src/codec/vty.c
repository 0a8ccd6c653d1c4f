#include "codec/vty.h"

#include <errno.h>

#include "base/err.h"

enum { END_BYTES = 4 };

int vty_reply_parse(struct str in, struct vty_reply *ret)
{
    const char *nul = in.n ? memchr(in.p, 0, in.n) : NULL;
    size_t text = nul ? (size_t)(nul - in.p) : in.n;
    for (size_t i = text; i < in.n && i < text + END_BYTES - 1; i++)
        if (in.p[i])
            return -EBADMSG;
    if (in.n < text + END_BYTES)
        return 0;
    *ret = (struct vty_reply){str_of(in.p, text), (uint8_t)in.p[text + END_BYTES - 1],
                              text + END_BYTES};
    return 1;
}

bool vty_is_word(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return s.n > 0;
}
