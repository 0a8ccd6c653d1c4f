#pragma once
/* Fields of answers in the client's terms, as nginx's proxy_cookie_domain, proxy_cookie_path and
 * proxy_redirect do it without expressions. What is new lies in the arena; without memory, or above
 * 16 KiB, a field stays as it is. Nothing is put in but what the configuration has. */

#include "base/arena.h"
#include "codec/http_head.h"

struct answer_pair {
    struct str from, to; /* from empty: none */
};

/* Of Set-Cookie: each attribute Domain that is `from`, with a dot before it or without, in any case
 * of letters; each attribute Path that begins with it. */
void answer_rewrite_cookie(const struct answer_pair *domain, const struct answer_pair *path,
                           struct http_field *f, struct arena *a);
/* Of Location: if it begins with it. */
void answer_rewrite_location(const struct answer_pair *p, struct http_field *f, struct arena *a);
/* Of Refresh, "5; url=/there": the same of the URL. */
void answer_rewrite_refresh(const struct answer_pair *p, struct http_field *f, struct arena *a);
/* Of Location: "https://host/path" becomes "/path". */
void answer_make_relative(struct http_field *f);
