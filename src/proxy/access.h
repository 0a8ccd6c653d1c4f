#pragma once
/* The parts of the filter `access`: users and their passwords, another server that is asked. What
 * they make of a request is said by the filter (filter_access.c). */

#include <fairlead/filters/http/v1/access.pb-c.h>

#include "base/map.h"
#include "proxy/answer_cache.h"
#include "proxy/filter.h"
#include "proxy/header_ops.h"
#include "proxy/password_pool.h"

/* ---- texts of literals and of what a request is ---- */

struct access_text {
    struct access_piece {
        struct str literal;
        uint8_t variable; /* of the message's enum */
    } * pieces;
    size_t n;
};
int access_text_compile(struct filter_compile *c, const Fairlead__Filters__Http__V1__Text *m,
                        struct access_text *ret);
/* In the stream's arena; .p NULL: no memory, or not what a field can carry. */
struct str access_text_make(const struct access_text *t, struct filter_call *c);

/* ---- users ---- */

struct access_users {
    struct str realm;
    struct map users; /* name -> struct access_user */
    struct access_user
        *some; /* whose hash is checked in the place of nobody's; NULL: there are none */
};
int access_users_compile(struct filter_compile *c,
                         const Fairlead__Filters__Http__V1__Access__Basic *m,
                         struct access_users *ret);
struct access_login {
    struct password_question *asked; /* NULL: none, or no more */
    bool unknown;                    /* it was asked for nobody */
    void (*then)(struct filter_call *c, enum password_answer a);
};
/* RIGHT, WRONG or BUSY; LATER: l->then is called with one of them. */
enum password_answer access_login_begin(const struct access_users *u, struct filter_call *c,
                                        struct access_login *l);

/* ---- another server ---- */

struct access_request;
int access_request_compile(struct filter_compile *c,
                           const Fairlead__Filters__Http__V1__Access__Request *m,
                           struct access_request **ret);

enum access_verdict {
    ACCESS_LATER, /* s->then is called */
    ACCESS_ALLOWED,
    ACCESS_DENIED, /* 401 or 403 */
    ACCESS_FAILED, /* it says something else, or nothing */
};
struct access_asked {
    const struct access_request *request;
    struct filter_fetch *fetch;  /* NULL: none, or no more */
    struct str key;              /* by which its answer is remembered; .p NULL: it is not */
    struct http_header *cookies; /* for the client */
    size_t n_cookies;
    bool always; /* whatever the answer's status */
    void (*then)(struct filter_call *c, enum access_verdict v);
};
enum access_verdict access_request_begin(const struct access_request *r, struct filter_call *c,
                                         struct access_asked *s);
/* Nobody is asked: what the server would have told the endpoint it is told by nobody, so the
 * client's own fields of those names go. */
void access_request_skip(const struct access_request *r, struct filter_call *c);
/* Cookies of the server go with the answer. */
void access_request_answer(const struct access_asked *s, struct filter_call *c,
                           struct http_head *answer);

/* ---- what is remembered of its answers (access_memory.c) ---- */

struct access_memory;
/* m->cache is set. */
int access_memory_compile(struct filter_compile *c,
                          const Fairlead__Filters__Http__V1__Access__Request *m,
                          struct access_memory **ret);
/* In the stream's arena; .p NULL: too long, or no memory: nothing is remembered. */
struct str access_memory_key(const struct access_memory *m, struct filter_call *c);
void access_memory_keep(const struct access_memory *m, struct filter_call *c, struct str key,
                        const struct http_head *answer);

/* ---- the filter's state ---- */

struct access_state {
    struct access_login login;
    struct access_asked asked;
    struct http_header challenge;
    bool refused; /* name or password */
};
