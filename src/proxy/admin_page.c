/* How a page of the admin interface goes out. */
#include "proxy/admin_priv.h"

enum { HEADERS = 3 };

static void make_headers(const char *type, struct http_header ret[HEADERS])
{
    ret[0] = (struct http_header){STR("content-type"), str_from(type)};
    ret[1] = (struct http_header){STR("cache-control"), STR("no-cache, max-age=0")};
    ret[2] = (struct http_header){STR("x-content-type-options"), STR("nosniff")};
}

void admin_start(struct admin_page *p)
{
    struct http_header headers[HEADERS];
    p->streams = true;
    make_headers(p->type, headers);
    http_exchange_start(p->x, p->status, headers, HEADERS);
}

void admin_page_end(struct admin_page *p)
{
    struct http_header headers[HEADERS];
    if (!p->streams) {
        make_headers(p->type, headers);
        http_exchange_reply(p->x, p->status, headers, HEADERS, buf_str(&p->body));
    }
    buf_done(&p->body);
}
