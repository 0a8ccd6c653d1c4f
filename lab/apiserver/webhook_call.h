#pragma once
/* One question to one webhook: where it is, HTTPS, the answer's bytes. */

#include "lab/apiserver/api_priv.h"
#include "lab/apiserver/webhook_set.h"

struct webhook_call;

/* code 0: body is what came with 200. Otherwise text says why there is none, in a real API server's
 * words. The call is gone afterwards. */
typedef void webhook_call_fn(void *user, int code, struct str body, const char *text);

/* NULL: at once, reterr says why. h is borrowed until the end. */
struct webhook_call *webhook_call_start(struct api_server *s, const struct webhook *h,
                                        const json_t *review, webhook_call_fn *fn, void *user,
                                        struct err *reterr);
void webhook_call_cancel(struct webhook_call *c); /* no callback */
