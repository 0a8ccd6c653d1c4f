#pragma once
/* Key sets of issuers of tokens, fetched: by a URL, or by what the issuer's
 * /.well-known/openid-configuration says. One fetch for all who name the same; looked at again
 * every 20 minutes, behind failures sooner. The last good set stays.
 *
 * A URL is somebody's who may write RequestAuthentications, and the answer is not told to him: but
 * this program may reach what he may not. So nobody is asked at link-local addresses (where clouds
 * keep their metadata), nor at loopback, redirects stay with the host, and what is no key set is
 * nobody's. */

#include "codec/json.h"
#include "net/loop.h"

enum {
    KEY_SETS_MAX = 256,
    KEY_SET_BYTES_MAX = 256 * 1024,
    KEY_SET_TIMEOUT_MS = 5000,
};

struct key_sets;

struct key_sets_ops {
    void (*on_change)(void *user); /* some set is another one */
    /* One cannot be fetched any more; once until it can be again. */
    void (*on_trouble)(const char *source, const char *why, void *user);
};

struct key_sets_options {
    bool loopback; /* may be asked */
    const struct key_sets_ops *ops;
    void *user;
};

struct key_sets *key_sets_new(struct loop *l, const struct key_sets_options *o);
void key_sets_free(struct key_sets *k); /* NULL is allowed */
/* What a rule of a RequestAuthentication (jwtRules[i]) fetches; NULL: nothing. The caller's. */
char *key_sets_source(const json_t *rule);
/* Between begin and end each rule that there is: what none names is forgotten. */
void key_sets_begin(struct key_sets *k);
void key_sets_use(struct key_sets *k, const json_t *rule);
void key_sets_end(struct key_sets *k);
/* Each has been fetched once, or could not be; what comes later is not waited for. */
bool key_sets_settled(struct key_sets *k);
/* The set of a rule that fetches one; NULL: there is none yet. Borrowed until the next change. */
const char *key_sets_find(const struct key_sets *k, const json_t *rule);
