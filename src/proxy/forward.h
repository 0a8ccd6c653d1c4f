#pragma once
/* What a proxy does to heads that go through it (RFC 9110 section 7.6): fields of one hop are taken
 * out, an absolute target becomes a path. */

#include "codec/http_head.h"

/* The fields that the client's Connection names go (RFC 9110 section 7.6.1). To be called before
 * anything is added to the head: a client must not take out what we tell the endpoint of it. */
void forward_drop_named(struct http_head *h);
/* keep_upgrade: the protocol that it asks for, or switches to, goes through. */
void forward_request(struct http_head *h, bool keep_upgrade);
/* Whatever stood there. Borrows it. */
void forward_set_host(struct http_head *h, struct str host);
void forward_answer(struct http_head *h, bool keep_upgrade);
