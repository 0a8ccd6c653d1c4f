/* What becomes of a route's answers. Other proxies have no filter that does it: they pass answers
 * as they are, at any speed, and log them. */
#include "control/translate_guard.h"
#include "control/translate_priv.h"
#include "control/xds_fields.h"

static void add_pair(unsigned number, const struct route_pair *p, struct buf *b)
{
    if (!p->from)
        return;
    size_t pair = pb_begin(b, number);
    pb_add_text(b, F_PAIR_FROM, p->from);
    pb_add_text(b, F_PAIR_TO, p->to);
    pb_end(b, pair);
}

void translate_answers(const struct route *r, const struct translate_view *view, struct buf *out)
{
    const struct route_answers *a = &r->answers;
    AUTO_DONE(buf) struct buf m = {0};
    if (view->peer == TRANSLATE_FOREIGN)
        return;
    add_pair(F_ANSWER_COOKIE_DOMAIN, &a->cookie_domain, &m);
    add_pair(F_ANSWER_COOKIE_PATH, &a->cookie_path, &m);
    add_pair(F_ANSWER_REDIRECT, &a->redirect, &m);
    if (a->relative)
        pb_add_uint(&m, F_ANSWER_RELATIVE, 1);
    if (a->bytes_per_s)
        pb_add_uint(&m, F_ANSWER_BYTES_PER_SECOND, a->bytes_per_s);
    if (a->bytes_before)
        pb_add_uint(&m, F_ANSWER_BYTES_BEFORE, a->bytes_before);
    if (a->unlogged)
        pb_add_uint(&m, F_ANSWER_UNLOGGED, 1);
    if (m.n)
        translate_filter_config(ANSWER_NAME, ANSWER_TYPE, buf_str(&m), out);
}
