/* Other programs that fairlead-echo passes for (--as MODE): the table of them.
 *
 * A mode has the original's name, default port, paths and typical answers, so that tutorials run
 * unchanged; it is no reimplementation. Which file has which family: echo_agnhost.c, echo_demos.c,
 * echo_httpbin.c, echo_bookinfo.c. Arguments that a mode does not know are passed over. */
#include "echo/echo_modes.h"

static const struct echo_mode *const modes[] = {
    &echo_agnhost,
    &echo_podinfo,
    &echo_whoami,
    &echo_kuard,
    &echo_server_json,
    &echo_server_text,
    &echo_httpbin,
    &echo_go_httpbin,
    &echo_bookinfo_product,
    &echo_bookinfo_details,
    &echo_bookinfo_ratings,
    &echo_bookinfo_reviews_v1,
    &echo_bookinfo_reviews_v2,
    &echo_bookinfo_reviews_v3,
};

const struct echo_mode *echo_mode_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (streq(modes[i]->name, name))
            return modes[i];
    return NULL;
}

void echo_mode_names(struct buf *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        buf_addf(ret, "%s%s", i ? ", " : "", modes[i]->name);
}
